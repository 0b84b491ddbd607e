//! Names of files that belong together.

use desam_core::text::path_from_text;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The bytes of the file's name, as a header names it; nothing where it has none.
pub(crate) fn file_name(path: &Path) -> &[u8] {
    path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default()
}

/// Whether the file's name ends so, without regard to the case of ASCII letters, and has something
/// before it.
pub(crate) fn ends_with(path: &Path, ending: &str) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase());
    name.is_some_and(|n| n.len() > ending.len() && n.ends_with(ending))
}

/// The file's name without `ending`, in letters of either case; the whole name where it does not end
/// so.
pub(crate) fn stem<'a>(path: &'a Path, ending: &str) -> &'a OsStr {
    let name = path.file_name().unwrap_or_default();
    if !ends_with(path, ending) {
        return name;
    }
    // One extension at a time, since there is no other safe way to cut a name that may not be UTF-8.
    let extensions = ending.matches('.').count();
    (0..extensions).fold(name, |name, _| Path::new(name).file_stem().unwrap_or(name))
}

/// `path` with `from` at its end, in letters of either case, replaced by `to`.
pub(crate) fn with_ending(path: &Path, from: &str, to: &str) -> PathBuf {
    let mut name = OsString::from(stem(path, from));
    name.push(to);
    path.with_file_name(name)
}

/// The file that a header names, beside the header where the name is not a whole path. `name` is as
/// [`HeaderText`](super::HeaderText) gives it.
pub(crate) fn data_file(header: &Path, name: &str) -> PathBuf {
    header.parent().unwrap_or(Path::new("")).join(path_from_text(name))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn endings_are_replaced_whatever_the_rest_is_made_of() {
        let path = |bytes: &'static [u8]| PathBuf::from(OsStr::from_bytes(bytes));
        for (from, ending, to, expected) in [
            (&b"a/caf\xe9.MHD"[..], ".mhd", ".zraw", &b"a/caf\xe9.zraw"[..]),
            (b"\xff.hdr.gz", ".hdr.gz", ".img.gz", b"\xff.img.gz"),
            (b"x..nii", ".nii", ".nii.gz", b"x..nii.gz"),
            (b"v1.2\xe9.nhdr", ".nhdr", ".raw.gz", b"v1.2\xe9.raw.gz"),
        ] {
            assert_eq!(with_ending(&path(from), ending, to), path(expected));
        }
        assert_eq!(stem(Path::new(".nii"), ".nii"), ".nii");
        assert_eq!(file_name(&path(b"a/\xe9")), b"\xe9");
    }
}
