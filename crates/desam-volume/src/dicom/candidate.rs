//! Candidate files: which files of a folder could be slices.
//!
//! A slice that is missing at the end of a series cannot be distinguished from a shorter series, so a file that
//! could be one and cannot be read must not be passed over. DICOM files need no ending, and folders of
//! them hold all kinds of other files: the name decides where it says enough, the content elsewhere.

use super::header::looks_like_dicom;
use super::wrong;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Endings of DICOM files.
const DICOM: [&str; 3] = ["dcm", "ima", "dicom"];
/// Endings that a slice has before it is unpacked or when its download was cut off.
const WRAPPED: [&str; 10] =
    ["gz", "bz2", "xz", "zst", "zip", "part", "partial", "crdownload", "download", "tmp"];
/// Endings of files that often lie next to slices and never are slices.
const OTHER: [&str; 27] = [
    "txt", "json", "xml", "csv", "tsv", "log", "md", "ini", "db", "pdf", "png", "jpg", "jpeg",
    "tif", "tiff", "bmp", "gif", "htm", "html", "zip", "gz", "tar", "nii", "mha", "mhd", "nrrd",
    "py",
];
/// Names without an ending that even an empty file may have and be no slice.
const NAMES: [&str; 8] =
    ["license", "licence", "readme", "version", "copying", "notice", "lockfile", "dicomdir"];
/// Bytes that show whether a file is text.
const SAMPLE: u64 = 4096;

/// An excluded file, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExcludedFile {
    pub(super) path: PathBuf,
    pub(super) reason: String,
    /// Whether it is a DICOM file without a readable image.
    pub(super) is_dicom: bool,
}

impl ExcludedFile {
    /// A file that is not DICOM.
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), reason: reason.into(), is_dicom: false }
    }

    /// A DICOM file that is no image.
    pub(super) fn dicom(path: &Path, reason: impl Into<String>) -> Self {
        Self { is_dicom: true, ..Self::new(path, reason) }
    }
}

/// The files of a folder by kind, each list sorted by name.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// They start as DICOM files do.
    pub(super) dicom: Vec<PathBuf>,
    /// They could be slices and do not even start as DICOM files do.
    pub(super) unreadable: Vec<Error>,
    /// They are no slices.
    pub(super) other: Vec<ExcludedFile>,
}

impl Files {
    /// The files in a folder; folders in it are not looked into.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be listed.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let mut files = Self::default();
        let mut rest = Vec::new();
        for path in sorted(folder)? {
            let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            let found = std::fs::metadata(&path);
            if found.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
                continue;
            } else if hidden {
                files.other.push(ExcludedFile::new(&path, "it is hidden"));
            } else if found.as_ref().is_ok_and(std::fs::Metadata::is_file)
                && looks_like_dicom(&path)
            {
                files.dicom.push(path);
            } else {
                rest.push((path, found));
            }
        }
        let known = DicomNames::of(&files.dicom);
        for (path, found) in rest {
            match NonDicomFile::of(&path, found, &known) {
                NonDicomFile::Unreadable(error) => files.unreadable.push(error),
                NonDicomFile::NoSlice => {
                    files.other.push(ExcludedFile::new(&path, "it is not a DICOM file"));
                }
            }
        }
        Ok(files)
    }
}

/// A file that does not start as DICOM files do.
enum NonDicomFile {
    Unreadable(Error),
    NoSlice,
}

impl NonDicomFile {
    fn of(path: &Path, found: std::io::Result<std::fs::Metadata>, known: &DicomNames) -> Self {
        let ending = ending(path);
        let wrapped = ending.as_deref().is_some_and(|e| WRAPPED.contains(&e));
        let inner = if wrapped { self::ending(&path.with_extension("")) } else { None };
        let is_dicom = |e: &Option<String>| e.as_deref().is_some_and(|e| DICOM.contains(&e));
        let named = is_dicom(&ending) || is_dicom(&inner);
        let name = path.file_stem().map(|n| n.to_string_lossy().to_ascii_lowercase());
        let no_slice = name.is_some_and(|n| NAMES.contains(&n.as_str()));
        if !named && (no_slice || !known.endings.contains(&ending)) {
            return Self::NoSlice;
        }
        let advice = "copy it again from its source, or move it to another folder";
        let unreadable =
            |problem: &str| Self::Unreadable(wrong(path, format!("{problem}; {advice}")));
        match found {
            Err(error) => Self::Unreadable(Error::io("read", path)(error)),
            Ok(found) if !found.is_file() => unreadable("it is no regular file"),
            Ok(found) if found.len() == 0 => unreadable("it is empty"),
            Ok(_) if is_dicom(&inner) => {
                unreadable("it is a slice that is packed, or whose download was cut off")
            }
            // By its name it is a slice.
            Ok(_) if named => {
                unreadable("it does not start as DICOM files do (128 bytes and DICM)")
            }
            Ok(_) if is_text(path) && !known.shapes.contains(&shape(path)) => Self::NoSlice,
            Ok(_) => {
                unreadable("it is among DICOM files with similar names but does not start like one")
            }
        }
    }
}

/// Entries of a folder, hidden files too, sorted by name.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = list().map_err(Error::io("list", folder))?;
    paths.sort_unstable();
    Ok(paths)
}

/// Name patterns of the DICOM files in a folder.
struct DicomNames {
    /// Their extensions, `None` among them where some have no extension.
    endings: BTreeSet<Option<String>>,
    /// Their names without the numbers in them; names without numbers are not among them.
    shapes: BTreeSet<String>,
}

impl DicomNames {
    fn of(dicom: &[PathBuf]) -> Self {
        let other = |e: &Option<String>| e.as_deref().is_some_and(|e| OTHER.contains(&e));
        let shapes = dicom.iter().map(|path| shape(path)).filter(|shape| shape.contains('#'));
        Self {
            endings: dicom.iter().map(|path| ending(path)).filter(|e| !other(e)).collect(),
            shapes: shapes.collect(),
        }
    }
}

/// A file's name with `#` for each number: `IM#` of `IM0003`.
fn shape(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut shape = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            other => shape.push(other),
        }
    }
    shape
}

/// Extension of a file's name, in lower case. Digits behind a dot are part of a UID or a number.
fn ending(path: &Path) -> Option<String> {
    let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
    (!ending.bytes().all(|b| b.is_ascii_digit())).then_some(ending)
}

/// Whether a file that is not empty starts as text does: without control characters, and mostly in
/// ASCII.
fn is_text(path: &Path) -> bool {
    let mut sample = Vec::new();
    let read =
        desam_core::files::open_regular(path).and_then(|f| f.take(SAMPLE).read_to_end(&mut sample));
    let control = |b: &u8| *b < 0x20 && !b"\t\n\r\x0C\x1B".contains(b);
    let ascii = sample.iter().filter(|b| b.is_ascii()).count();
    read.is_ok() && !sample.iter().any(control) && 2 * ascii >= sample.len()
}

#[cfg(test)]
mod tests {
    use super::super::tests::draft;
    use super::*;
    use crate::voxels::testing::Scratch;

    fn names(paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
        let name = |p: PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
        paths.into_iter().map(name).collect()
    }

    fn sort(files: &[(&str, &[u8])]) -> (Vec<String>, Vec<String>) {
        let scratch = Scratch::new();
        let dir = scratch.path("in");
        std::fs::create_dir(&dir).unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
        let found = Files::of(&dir).unwrap();
        let path = |error: &Error| match error {
            Error::Dicom { path, .. } => path.clone(),
            other => panic!("{other}"),
        };
        (names(found.unreadable.iter().map(path)), names(found.other.into_iter().map(|o| o.path)))
    }

    #[test]
    fn a_name_of_dicom_is_a_slice_whatever_it_holds() {
        let good = draft(0.0).bytes();
        let (unreadable, other) = sort(&[
            ("a.dcm", &good),
            ("b.dcm", b""),
            ("c.IMA", b"<html>404</html>"),
            ("d.dicom", &good[..100]),
            ("e.dcm.gz", b"\x1f\x8b"),
            ("f.dcm.part", &good[..200]),
            ("g.nii.gz", b"\x1f\x8b"),
            (".DS_Store", b"\0"),
            ("._a.dcm", b"\0"),
            ("LICENSE", b""),
            ("Thumbs.db", b"\0"),
            ("empty", b""),
            ("notes.txt", b""),
            ("side.json", b"{}"),
        ]);
        assert_eq!(unreadable, ["b.dcm", "c.IMA", "d.dicom", "e.dcm.gz"]);
        let expected = [
            "._a.dcm",
            ".DS_Store",
            "LICENSE",
            "Thumbs.db",
            "empty",
            "g.nii.gz",
            "notes.txt",
            "side.json",
        ];
        let mut sorted = expected.map(str::to_owned);
        sorted.sort();
        assert_eq!(other, sorted);
    }

    #[test]
    fn without_endings_the_content_decides() {
        let good = draft(0.0).bytes();
        let (unreadable, other) = sort(&[
            ("1.2.840.1", &good),
            ("IM0002", b""),
            ("IM0003", &good[..100]),
            ("1.2.840.4", &[0; 500]),
            ("1.2.840.51", b"<html>404</html>"),
            ("LICENSE", b"You may"),
            ("README", b""),
            ("notes", b"caf\xe9 in another encoding\r\n"),
            ("side.json", b""),
        ]);
        // What is named as the slices are is meant as one, even if it is text.
        assert_eq!(unreadable, ["1.2.840.4", "1.2.840.51", "IM0002", "IM0003"]);
        assert_eq!(other, ["LICENSE", "README", "notes", "side.json"]);
        // An ending that slices of this folder have counts as theirs.
        let (unreadable, other) = sort(&[("1.mr", &good), ("2.mr", b""), ("2.ct", b"")]);
        assert_eq!((unreadable, other), (vec!["2.mr".to_owned()], vec!["2.ct".to_owned()]));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_are_no_shorter_series() {
        let scratch = Scratch::new();
        std::os::unix::fs::symlink("/nowhere/at/all", scratch.path("a.dcm")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", scratch.path("notes.txt")).unwrap();
        let found = Files::of(&scratch.path("")).unwrap();
        assert!(matches!(found.unreadable.as_slice(), [Error::Io { .. }]), "{found:?}");
        assert_eq!(found.other.len(), 1);
    }
}
