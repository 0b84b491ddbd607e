//! Which files belong together, and which of the groups is meant.

use super::header::{Slice, looks_like_dicom};
use super::wrong;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The anatomical plane that slices are nearest to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// Across the body.
    Axial,
    /// Seen from the front.
    Coronal,
    /// Seen from the side.
    Sagittal,
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        })
    }
}

/// Which series of several is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SeriesChoice {
    /// There must be one only.
    #[default]
    Only,
    /// The one with this SeriesInstanceUID.
    Uid(String),
    /// The one whose SeriesDescription holds this text, letters of either case.
    Description(String),
    /// The one whose slices are nearest to this plane.
    Plane(Plane),
}

impl FromStr for SeriesChoice {
    type Err = std::convert::Infallible;

    /// `axial`, `coronal` and `sagittal` are planes, digits with dots a UID, all else a description.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "axial" => Self::Plane(Plane::Axial),
            "coronal" => Self::Plane(Plane::Coronal),
            "sagittal" => Self::Plane(Plane::Sagittal),
            uid if uid.contains('.') && uid.chars().all(|c| c.is_ascii_digit() || c == '.') => {
                Self::Uid(uid.to_owned())
            }
            text => Self::Description(text.to_owned()),
        })
    }
}

/// The slices of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// SeriesInstanceUID.
    pub uid: String,
    /// SeriesDescription; empty where the files have none.
    pub description: String,
    /// The plane of its slices; `None` where they are not all of one.
    pub plane: Option<Plane>,
    pub(super) slices: Vec<Slice>,
}

impl Series {
    fn new(uid: String, slices: Vec<Slice>) -> Self {
        let description = slices.first().map(|s| s.file.description.clone()).unwrap_or_default();
        let first = slices.first().map(plane);
        let plane = first.filter(|f| slices.iter().all(|s| plane(s) == *f));
        Self { uid, description, plane, slices }
    }

    /// How many slices it has: as many as files, or as frames in a file of several.
    pub fn len(&self) -> usize {
        self.slices.len()
    }

    /// Always false: a series is made of slices.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Whether it is a segmentation, which [`super::seg`] reads.
    pub(super) fn is_segmentation(&self) -> bool {
        self.slices.first().is_some_and(|s| s.file.is_segmentation())
    }

    fn fits(&self, choice: &SeriesChoice) -> bool {
        match choice {
            SeriesChoice::Only => true,
            SeriesChoice::Uid(uid) => self.uid == *uid,
            SeriesChoice::Description(text) => {
                self.description.to_lowercase().contains(&text.to_lowercase())
            }
            SeriesChoice::Plane(plane) => self.plane == Some(*plane),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plane = self.plane.map_or_else(|| "of several planes".to_owned(), |p| p.to_string());
        write!(f, "{} ({:?}, {} slices, {plane})", self.uid, self.description, self.len())
    }
}

fn plane(slice: &Slice) -> Plane {
    let [left, back, head] = slice.normal().map(f64::abs);
    if head >= left && head >= back {
        Plane::Axial
    } else if back >= left {
        Plane::Coronal
    } else {
        Plane::Sagittal
    }
}

/// The files that may be slices: those in a folder, hidden ones aside, or the file itself.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = crate::layout::entries(path)?;
    files.retain(|f| f.is_file());
    Ok(files)
}

/// The series of images in a folder, by UID; files that are not DICOM and DICOM files that are no
/// images are passed over, and so are segmentations, which are of images.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read, [`Error::Dicom`] when one is broken.
pub fn list_series(path: &Path) -> Result<Vec<Series>> {
    list(path, Sought::Images)
}

/// What is looked for in a folder; a file that is named itself is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    /// Images alone.
    Images,
    /// Images and segmentations: what may hold labels.
    Labels,
}

pub(super) fn list(path: &Path, sought: Sought) -> Result<Vec<Series>> {
    let mut groups: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
    let folder = path.is_dir();
    for file in files(path)? {
        // A file that was named on its own must be what it is taken for.
        if folder && !looks_like_dicom(&file) {
            continue;
        }
        let slices = Slice::read(&file)?;
        let wanted = |s: &Slice| !folder || sought == Sought::Labels || !s.file.is_segmentation();
        if let Some(first) = slices.first().filter(|s| wanted(s)) {
            groups.entry(first.file.series.clone()).or_default().extend(slices);
        }
    }
    Ok(groups.into_iter().map(|(uid, slices)| Series::new(uid, slices)).collect())
}

/// The one series that is meant.
pub(super) fn choose(path: &Path, choice: &SeriesChoice, sought: Sought) -> Result<Series> {
    let all = list(path, sought)?;
    let list = |series: &[&Series]| {
        let lines: Vec<_> = series.iter().map(|s| format!("\n  {s}")).collect();
        lines.concat()
    };
    let fitting: Vec<&Series> = all.iter().filter(|s| s.fits(choice)).collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] if all.is_empty() => Err(wrong(path, "there is no DICOM image here")),
        [] => {
            let all: Vec<&Series> = all.iter().collect();
            Err::<_, Error>(wrong(
                path,
                format!("no series fits {choice:?}; there are{}", list(&all)),
            ))
        }
        many => {
            let advice = "choose one by its UID, its description or its plane";
            let count = many.len();
            Err(wrong(path, format!("{count} series fit; {advice}:{}", list(many))))
        }
    }
}
