//! File names: endings, and data files named by a header.

use crate::{Error, Result};
use desam_core::text::{DisplayPath as _, path_from_text};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

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

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file that a header names, relative to the header's folder where the name is not a whole path.
/// `name` is as [`HeaderText`](super::HeaderText) gives it.
pub(crate) fn data_file(header: &Path, name: &str) -> PathBuf {
    header.parent().unwrap_or(Path::new("")).join(path_from_text(name))
}

/// The same, refused where it lies outside the header's folder: a header from elsewhere should not
/// make a program read any file of the machine. A link within the folder is the user's own and is
/// followed.
pub(crate) fn data_file_within(header: &Path, name: &str) -> Result<PathBuf> {
    let file = data_file(header, name);
    let named = path_from_text(name);
    let plain = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
    if named.components().all(plain) || lies_below(&file, folder(header)) {
        return Ok(file);
    }
    Err(Error::OutsideFolder { header: header.to_path_buf(), file })
}

/// Whether the folder of `file` is `top` or below it, by their real paths.
fn lies_below(file: &Path, top: &Path) -> bool {
    match (folder(file).canonicalize(), top.canonicalize()) {
        (Ok(folder), Ok(top)) => folder.starts_with(top),
        _ => false,
    }
}

/// The bytes by which a header names the data file `path`, where every reader finds it so: names that
/// hold control characters or start or end with a space cannot stand in a line of text. A name need not
/// be UTF-8.
pub(crate) fn expect_plain_name<'a>(out: &Path, path: &'a Path) -> Result<&'a [u8]> {
    let unwritable = |problem: &str| Error::Unwritable {
        path: out.to_path_buf(),
        problem: format!(
            "its header has to name the data file {}; {problem}",
            path.display_escaped()
        ),
    };
    let name = file_name(path);
    if name.is_empty() {
        return Err(unwritable("that is no name of a file: choose another"));
    }
    if name.trim_ascii() != name || name.iter().any(u8::is_ascii_control) {
        let problem = "names with control characters or spaces at an end cannot stand in a \
                       header: choose another";
        return Err(unwritable(problem));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voxels::testing::Scratch;

    #[test]
    fn data_files_stay_in_their_headers_folder() {
        let scratch = Scratch::new();
        let header = scratch.path("a/h.nhdr");
        std::fs::create_dir_all(scratch.path("a/b")).unwrap();
        let own = scratch.path("a/b/x.raw").display().to_string();
        for name in ["x.raw", "b/x.raw", "./x.raw", "b/../x.raw", own.as_str()] {
            let file = data_file_within(&header, name).unwrap();
            assert_eq!(file, data_file(&header, name), "{name}");
        }
        let other = scratch.path("x.raw").display().to_string();
        for name in ["../x.raw", "b/../../x.raw", "/dev/zero", "/etc/passwd", other.as_str()] {
            let refused = data_file_within(&header, name);
            assert!(matches!(refused, Err(Error::OutsideFolder { .. })), "{name}: {refused:?}");
        }
    }

    #[test]
    fn names_that_a_header_can_hold() {
        fn of(name: &str) -> Result<&[u8]> {
            expect_plain_name(Path::new("out.mhd"), Path::new(name))
        }
        assert_eq!(of("dir/a b.raw").unwrap(), b"a b.raw");
        for name in [" a.raw", "a.raw ", "a\nElementDataFile = x", "a\t.raw", ".."] {
            assert!(matches!(of(name), Err(Error::Unwritable { .. })), "{name:?}");
        }
    }
}

#[cfg(all(test, unix))]
mod names_of_bytes {
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
        let data = path(b"a/\xe9.raw");
        assert_eq!(expect_plain_name(Path::new("out.mhd"), &data).unwrap(), b"\xe9.raw");
    }
}
