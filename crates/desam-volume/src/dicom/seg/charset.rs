//! SpecificCharacterSet of a segmentation (PS3.3, C.12.1.1.2).
//!
//! Texts that are copied from the source keep their bytes, so the source's character set is copied
//! as well. Texts of ours are ASCII, which means the same in every set that DICOM knows; a label of
//! the caller's may be UTF-8 where the copied texts are ASCII or UTF-8 too.

/// UTF-8, as DICOM names it.
const UTF_8: &[u8] = b"ISO_IR 192";
/// Starts a switch between the sets of ISO 2022.
const ESCAPE: u8 = 0x1B;

/// The value of SpecificCharacterSet under which `copied` bytes and `own` texts are both right, or
/// `None` where the element is to be left out.
///
/// # Errors
/// The first of `own` that the source's character set cannot hold.
pub(super) fn character_set<'a>(
    source: Option<&'a [u8]>,
    mut copied: impl Iterator<Item = &'a [u8]>,
    mut own: impl Iterator<Item = &'a str>,
) -> Result<Option<&'a [u8]>, &'a str> {
    let Some(text) = own.find(|text| !text.is_ascii()) else {
        return Ok(source);
    };
    let is_ascii = |value: &[u8]| value.is_ascii() && !value.contains(&ESCAPE);
    if source == Some(UTF_8) || copied.all(is_ascii) { Ok(Some(UTF_8)) } else { Err(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_decides_unless_a_label_needs_more() {
        let set = |source: Option<&'static [u8]>, copied: &'static [u8], own: &'static str| {
            character_set(source, [copied].into_iter(), [own].into_iter())
        };
        let japanese: &[u8] = b"\\ISO 2022 IR 87";
        assert_eq!(set(Some(japanese), b"Yamada^Tarou", "Organ"), Ok(Some(japanese)));
        assert_eq!(set(None, b"\xC7a", "Organ"), Ok(None));
        // Nothing that was copied differs between the source's set and UTF-8.
        assert_eq!(set(Some(japanese), b"Yamada^Tarou", "前立腺"), Ok(Some(UTF_8)));
        assert_eq!(set(None, b"", "Préstate"), Ok(Some(UTF_8)));
        assert_eq!(set(Some(UTF_8), "Ça".as_bytes(), "前立腺"), Ok(Some(UTF_8)));
        // Escape sequences are ASCII and still no UTF-8.
        assert_eq!(set(Some(japanese), b"\x1B$B;3\x1B(B", "前立腺"), Err("前立腺"));
        assert_eq!(set(Some(b"ISO_IR 148"), b"\xC7a", "前立腺"), Err("前立腺"));
        assert_eq!(set(None, b"\xC7a", "前立腺"), Err("前立腺"));
    }
}
