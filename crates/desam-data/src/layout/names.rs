//! What the name of a volume file says.

/// What label files end in, before the extension; letters of either case (one site of the SAML
/// release writes it with a capital).
const LABEL_SUFFIX: &str = "_segmentation";

/// The name of a volume file, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeName<'a> {
    /// The case, as written.
    pub(super) id: &'a str,
    /// Whether the file holds labels.
    pub(super) is_label: bool,
}

impl<'a> VolumeName<'a> {
    /// Takes a file name apart; `None` where it names no volume.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let stem = [".nii.gz", ".nii"].iter().find_map(|end| strip_suffix(name, end))?;
        let (id, is_label) = match strip_suffix(stem, LABEL_SUFFIX) {
            Some(id) => (id, true),
            None => (stem, false),
        };
        (!id.is_empty()).then_some(Self { id, is_label })
    }
}

/// `name` without `suffix`, without regard to the case of ASCII letters.
fn strip_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let (head, tail) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let image = |id| Some(VolumeName { id, is_label: false });
        let label = |id| Some(VolumeName { id, is_label: true });
        assert_eq!(VolumeName::parse("Case00.nii.gz"), image("Case00"));
        assert_eq!(VolumeName::parse("Case00.NII"), image("Case00"));
        assert_eq!(VolumeName::parse("Case00_Segmentation.Nii.Gz"), label("Case00"));
        assert_eq!(VolumeName::parse("fälle.ü.nii"), image("fälle.ü"));
        for other in ["", "nii", ".nii", ".nii.gz", "_segmentation.nii", "Case00.gz", "é.ni", "ä"]
        {
            assert_eq!(VolumeName::parse(other), None, "{other}");
        }
    }
}
