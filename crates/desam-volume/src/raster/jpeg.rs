//! Whether a JPEG file is whole: decoders fill what is missing with grey.

/// Whether the end marker follows the last scan. What comes behind it does not matter.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    let mut scans = 0;
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            0xD9 => return scans > 0,
            // Markers without a segment: restart and temporary ones, and a second start.
            0x01 | 0xD0..=0xD8 => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([high, low])).max(2);
                scans += usize::from(marker == 0xDA);
            }
        }
    }
    false
}

/// The marker at or behind `at`, which moves behind it. Entropy-coded data hold the byte `FF` only with
/// a zero behind it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let start = bytes.get(*at..)?.iter().position(|b| *b == 0xFF)?;
        *at += start + 1;
        match bytes.get(*at)? {
            0x00 => *at += 1,
            // Any number of them may come before a marker.
            0xFF => {}
            &marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn the_end_marker_is_found_behind_the_last_scan() {
        // By hand, after ITU-T T.81, annex B: SOI, a segment of 4 bytes that holds FF D9, SOS of 2
        // bytes, data with a stuffed FF and a restart marker, fill bytes, EOI, and something behind it.
        let file =
            b"\xFF\xD8\xFF\xE1\x00\x04\xFF\xD9\xFF\xDA\x00\x02ab\xFF\x00\xFF\xD0c\xFF\xFF\xD9more";
        assert!(is_whole(file));
        let end = file.len() - 4;
        for length in 0..end {
            assert!(!is_whole(&file[..length]), "{length}");
        }
        assert!(is_whole(&file[..end]) && !is_whole(b"\xFF\xD8\xFF\xD9"));
    }
}
