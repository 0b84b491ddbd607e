//! Names of files that belong together.

use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Whether the file's name ends so, without regard to the case of ASCII letters, and has something
/// before it.
pub(crate) fn ends_with(path: &Path, ending: &str) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase());
    name.is_some_and(|n| n.len() > ending.len() && n.ends_with(ending))
}

/// `path` with `from` at its end, in letters of either case, replaced by `to`.
pub(crate) fn with_ending(path: &Path, from: &str, to: &str) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.len().checked_sub(from.len()).and_then(|at| name.get(..at));
    path.with_file_name(format!("{}{to}", stem.unwrap_or(&name)))
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file that a header names, relative to the header's folder where the name is not a whole path.
pub(crate) fn data_file(header: &Path, name: &str) -> PathBuf {
    header.parent().unwrap_or(Path::new("")).join(name)
}

/// The same, refused where it lies outside the header's folder: a header from elsewhere should not
/// make a program read any file of the machine. A link within the folder is the user's own and is
/// followed.
pub(crate) fn data_file_within(header: &Path, name: &str) -> Result<PathBuf> {
    let file = data_file(header, name);
    let named = Path::new(name);
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

/// Whether a header can name the data file `path` so that every reader finds it: names that are not
/// UTF-8, hold control characters or start or end with a space cannot stand in a line of text.
pub(crate) fn expect_plain_name(out: &Path, path: &Path) -> Result<String> {
    let unwritable = |problem: &str| Error::Unwritable {
        path: out.to_path_buf(),
        problem: format!("its header has to name the data file {}; {problem}", path.display()),
    };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if name.is_empty() {
        return Err(unwritable("that name is not UTF-8: choose another"));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        let problem = "names with control characters or spaces at an end cannot stand in a \
                       header: choose another";
        return Err(unwritable(problem));
    }
    Ok(name.to_owned())
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
        let of = |name: &str| expect_plain_name(Path::new("out.mhd"), Path::new(name));
        assert_eq!(of("dir/a b.raw").unwrap(), "a b.raw");
        for name in [" a.raw", "a.raw ", "a\nElementDataFile = x", "a\t.raw", ".."] {
            assert!(matches!(of(name), Err(Error::Unwritable { .. })), "{name:?}");
        }
    }
}
