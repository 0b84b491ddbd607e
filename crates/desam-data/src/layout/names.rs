//! Parsing the names of volume files.

use desam_volume::volumes::ReadOptions;

/// Suffixes of label files before the extension, case-insensitive (one site of the SAML release
/// writes it with a capital). The second is 3D Slicer's.
const LABEL_SUFFIXES: [&str; 2] = ["_segmentation", ".seg"];

/// A parsed name of a volume file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeName<'a> {
    /// The case, as written.
    pub(super) id: &'a str,
    /// Whether the file holds labels.
    pub(super) is_label: bool,
}

impl<'a> VolumeName<'a> {
    /// Parses a file name; `None` if it does not name a volume.
    pub(super) fn parse(name: &'a str, read: &ReadOptions) -> Option<Self> {
        let stem = read.without_ending(name)?;
        let label = LABEL_SUFFIXES.iter().find_map(|suffix| strip_suffix(stem, suffix));
        let (id, is_label) = match label {
            Some(id) => (id, true),
            None => (stem, false),
        };
        (!id.is_empty()).then_some(Self { id, is_label })
    }
}

/// Whether a name without its ending is that of a label.
pub(super) fn is_label_name(stem: &str) -> bool {
    LABEL_SUFFIXES.iter().any(|suffix| strip_suffix(stem, suffix).is_some())
}

/// `name` without `suffix`, without regard to the case of ASCII letters.
pub(super) fn strip_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let (head, tail) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let read = ReadOptions::default();
        let parse = |name| VolumeName::parse(name, &read);
        let image = |id| Some(VolumeName { id, is_label: false });
        let label = |id| Some(VolumeName { id, is_label: true });
        assert_eq!(parse("Case00.nii.gz"), image("Case00"));
        assert_eq!(parse("Case00.NII"), image("Case00"));
        assert_eq!(parse("Case00_Segmentation.Nii.Gz"), label("Case00"));
        assert_eq!(parse("Case00_segmentation.mhd"), label("Case00"));
        assert_eq!(parse("Case00.seg.nrrd"), label("Case00"));
        assert_eq!(parse("Case00.HDR"), image("Case00"));
        assert_eq!(parse("Case00.img"), None);
        assert_eq!(parse("Case00.raw"), None);
        assert_eq!(parse("fälle.ü.nii"), image("fälle.ü"));
        for other in ["", "nii", ".nii", ".nii.gz", "_segmentation.nii", "Case00.gz", "é.ni", "ä"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
