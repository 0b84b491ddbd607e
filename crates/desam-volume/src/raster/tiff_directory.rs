//! The first directory of a TIFF file, looked at before a decoder reads it: decoders take memory for as
//! many values as a tag promises.

/// Bytes of the value of a tag, by its type (TIFF 6.0, section 2; BigTIFF).
const fn type_bytes(kind: u64) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}

/// What matters of the first directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TiffDirectory {
    /// Whether another directory follows, which holds another page.
    pub(super) has_more: bool,
}

impl TiffDirectory {
    /// Reads the directory; `None` where the file ends within it, or is too short for the values of a
    /// tag.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let file = Numbers { bytes, is_little: bytes.starts_with(b"II") };
        let is_big = file.number(2, 2)? == 43;
        // Widths of an offset, of the number of entries, and of an entry.
        let (offset_width, count_width, entry_width) = if is_big { (8, 8, 20) } else { (4, 2, 12) };
        let start = file.number(if is_big { 8 } else { 4 }, offset_width)?;
        let entries = file.number(start, count_width)?;
        let first = start.checked_add(count_width)?;
        let end = entries.checked_mul(entry_width)?.checked_add(first)?;
        let length = bytes.len() as u64;
        if end > length {
            return None;
        }
        for entry in 0..entries {
            let at = first + entry * entry_width;
            let values = file.number(at + 4, offset_width)?;
            if values.checked_mul(type_bytes(file.number(at + 2, 2)?))? > length {
                return None;
            }
        }
        Some(Self { has_more: file.number(end, offset_width).is_some_and(|next| next != 0) })
    }
}

/// Numbers of a file of either byte order.
struct Numbers<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

impl Numbers<'_> {
    /// The number in `width` bytes, at most 8, from `at`.
    fn number(&self, at: u64, width: u64) -> Option<u64> {
        let start = usize::try_from(at).ok()?;
        let found = self.bytes.get(start..start.checked_add(usize::try_from(width).ok()?)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.is_little {
            found.iter().rev().fold(0, add)
        } else {
            found.iter().fold(0, add)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TiffDirectory;

    #[test]
    fn directories_of_both_orders_and_widths() {
        // By hand: a directory of one entry, tag 0x100, type 3, one value, and an offset behind it.
        let classic = |next: u8| {
            let entry = b"\x01\x00\x03\x00\x01\x00\x00\x00\x07\x00\x00\x00";
            [b"II*\0\x08\0\0\0\x01\0", &entry[..], &[next, 0, 0, 0]].concat()
        };
        let of = |bytes: &[u8]| TiffDirectory::of(bytes).map(|found| found.has_more);
        assert_eq!((of(&classic(0)), of(&classic(9))), (Some(false), Some(true)));
        for length in 0..22 {
            assert_eq!(of(&classic(0)[..length]), None, "{length}");
        }
        let big = |values: u8| {
            let entry = [&b"\x01\x00\0\x04\0\0\0\0\0\0\0"[..], &[values], &[0; 8]].concat();
            [b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x01", &entry[..], &[0; 8]].concat()
        };
        // The file has 52 bytes: 13 values of 4 fit, 14 do not.
        assert_eq!((of(&big(13)), of(&big(14))), (Some(false), None));
        let mut huge = classic(0);
        huge[14..18].fill(0xFF);
        assert_eq!(of(&huge), None);
    }
}
