//! Names of the maps of each class.

use super::PredictOptions;
use desam_core::ClassTable;
use desam_volume::volumes::{VolumeFormat, beside};
use std::path::{Path, PathBuf};

/// Files of one class next to a mask.
#[derive(Debug, Clone)]
pub(super) struct ClassFiles {
    pub(super) probability: Option<PathBuf>,
    pub(super) iou: Option<PathBuf>,
}

impl ClassFiles {
    /// The files of each class: of several, `t2.probability.pz.nii.gz` has the name in it.
    pub(super) fn of(mask: &Path, options: &PredictOptions, classes: &ClassTable) -> Vec<Self> {
        let is_image = VolumeFormat::of_name(mask).is_some_and(VolumeFormat::is_two_dimensional);
        let ending = if is_image { "tif" } else { "nii.gz" };
        let of_class = |name: &str| {
            let class = if classes.is_several() {
                format!(".{}", name.replace(' ', "_"))
            } else {
                String::new()
            };
            let named = |wanted: bool, kind: &str| {
                wanted.then(|| beside(mask, &format!("{kind}{class}.{ending}")))
            };
            Self {
                probability: named(options.probability, "probability"),
                iou: named(options.iou_map, "iou"),
            }
        };
        classes.names().map(of_class).collect()
    }

    /// The files that are wanted.
    pub(super) fn names(&self) -> impl Iterator<Item = &Path> {
        self.probability.iter().chain(&self.iou).map(PathBuf::as_path)
    }
}
