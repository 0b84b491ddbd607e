//! Series of slices.

use super::header::Slice;
use crate::series_choice::{Plane, SeriesChoice};
use std::fmt;

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
    pub(super) fn new(uid: String, slices: Vec<Slice>) -> Self {
        let description = slices.first().map(|s| s.file.description.clone()).unwrap_or_default();
        let first = slices.first().map(plane_of);
        let plane = first.filter(|f| slices.iter().all(|s| plane_of(s) == *f));
        Self { uid, description, plane, slices }
    }

    /// Number of slices: as many as files, or as frames in a multi-frame file.
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

    /// The part of a series of several planes that lies in one of them; `None` where nothing does.
    pub(super) fn part_in(&self, plane: Plane) -> Option<Self> {
        let part: Vec<Slice> =
            self.slices.iter().filter(|s| plane_of(s) == plane).cloned().collect();
        (!part.is_empty()).then(|| Self::new(self.uid.clone(), part))
    }

    /// The planes of its slices, each once.
    pub(super) fn planes(&self) -> Vec<Plane> {
        let all = [Plane::Axial, Plane::Coronal, Plane::Sagittal];
        all.into_iter().filter(|p| self.slices.iter().any(|s| plane_of(s) == *p)).collect()
    }

    /// Whether slices of the plane that is chosen are among those of other planes.
    pub(super) fn has_part(&self, choice: &SeriesChoice) -> bool {
        matches!(choice, SeriesChoice::Plane(plane) if self.planes().contains(plane))
    }

    pub(super) fn fits(&self, choice: &SeriesChoice) -> bool {
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
        write!(
            f,
            "{} ({:?}, {}, {plane})",
            self.uid,
            self.description,
            counted(self.len(), "slice")
        )
    }
}

/// `1 slice`, `6 slices`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// The plane that a slice is nearest to.
pub(super) fn plane_of(slice: &Slice) -> Plane {
    let [left, back, head] = slice.normal().map(f64::abs);
    if head >= left && head >= back {
        Plane::Axial
    } else if back >= left {
        Plane::Coronal
    } else {
        Plane::Sagittal
    }
}
