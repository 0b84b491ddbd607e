//! Output files of a segmented volume: mask, maps, overlays, report.

use super::class_files::ClassFiles;
use super::measure::{BoundingBox, IouStatistics, MaskMeasurements, MaskSize};
use super::picture::picture;
use super::report::{ClassReport, Settings, SliceReport, VolumeReport};
use super::{ClassSegmentation, PredictOptions, Segmentation, Segmenter};
use crate::{Error, Result};
use desam_core::{ClassTable, Volume};
use desam_data::preprocess::PreparedVolume;
use desam_volume::atomic::write_atomic;
use desam_volume::volumes::{
    beside, expect_writable_name, write_map_like_with, write_mask_like_with,
};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Summary of one segmented file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VolumeSummary {
    /// The volume.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub input: PathBuf,
    /// Its mask.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub output: PathBuf,
    /// Files written next to the mask.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub files: Vec<PathBuf>,
    /// Voxels along `i`, `j`, `k`.
    pub dims: [usize; 3],
    /// Slices along the slice axis in which the written mask is not empty.
    pub slices_with_mask: usize,
    /// Slices of the volume along the slice axis.
    pub slices: usize,
    /// Volume of the mask in millilitres, or the area of an image's mask in square pixels.
    #[serde(flatten)]
    pub size: MaskSize,
    /// Each class of a model of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassSummary>,
    /// Confidence of the mask, 0 to 1, of a calibrated model ([`Segmentation::confidence`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Agreement of grid points, 0 to 1, if it was requested and could be measured
    /// ([`Segmentation::agreement`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Warnings about the volume and its mask, each a sentence that names the volume.
    pub warnings: Vec<String>,
}

/// Summary of one class of a segmented file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassSummary {
    /// The class's name.
    pub name: String,
    /// Its label in the mask.
    pub label: u8,
    /// Its volume in millilitres, or its area in square pixels.
    #[serde(flatten)]
    pub size: MaskSize,
    /// Confidence of its masks, 0 to 1; that of the volume is the mean over classes, weighted by area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Agreement of grid points about its masks, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
}

/// Output files of a volume.
#[derive(Debug, Clone)]
pub(super) struct OutputFiles {
    pub(super) input: PathBuf,
    mask: PathBuf,
    /// Of each class.
    classes: Vec<ClassFiles>,
    json: Option<PathBuf>,
    /// Prefix of the overlays' names.
    overlay: Option<PathBuf>,
}

/// Content of the output files.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) prepared: &'a PreparedVolume,
    /// The volume itself, for overlays.
    pub(super) volume: Option<&'a Volume>,
    pub(super) segmentation: Segmentation,
    /// The reader's warnings, each a sentence that names the volume.
    pub(super) warnings: Vec<String>,
}

impl OutputFiles {
    /// # Errors
    /// When a file would overwrite the volume itself, or the mask's name has no known format.
    pub(super) fn new(
        input: &Path,
        mask: &Path,
        options: &PredictOptions,
        classes: &ClassTable,
    ) -> Result<Self> {
        expect_writable_name(mask)?;
        let named = |wanted: bool, ending: &str| wanted.then(|| beside(mask, ending));
        let files = Self {
            input: input.to_owned(),
            mask: mask.to_owned(),
            classes: ClassFiles::of(mask, options, classes),
            json: named(options.json, "json"),
            overlay: named(options.overlay.is_some(), "slice"),
        };
        let own = input.canonicalize().ok();
        let volume = |path: &&Path| own.is_some() && path.canonicalize().ok() == own;
        if let Some(path) = files.names().find(volume) {
            let reason =
                "is the volume itself and would be overwritten; give the mask another name";
            return Err(Error::file(path, reason));
        }
        Ok(files)
    }

    /// The mask, then the files next to it.
    pub(super) fn names(&self) -> impl Iterator<Item = &Path> {
        let others = self.overlay.iter().map(PathBuf::as_path);
        std::iter::once(self.mask.as_path()).chain(self.maps_and_report()).chain(others)
    }

    /// The files next to the mask, except overlays.
    pub(super) fn maps_and_report(&self) -> impl Iterator<Item = &Path> {
        let maps = self.classes.iter().flat_map(ClassFiles::names);
        maps.chain(self.json.iter().map(PathBuf::as_path))
    }

    /// Writes everything, the mask first and the JSON file last.
    pub(super) fn write(&self, by: &Segmenter, output: &Output<'_>) -> Result<VolumeSummary> {
        let Segmentation { mask, classes, .. } = &output.segmentation;
        let table = &by.model().record().classes;
        write_mask_like_with(&self.input, &self.mask, mask, by.read_options(), table)?;
        let mut files = Vec::new();
        for (named, class) in self.classes.iter().zip(classes) {
            let maps = [(&named.probability, &class.probability), (&named.iou, &class.iou_map)];
            for (path, map) in maps {
                if let (Some(path), Some(map)) = (path, map) {
                    write_map_like_with(&self.input, path, map, by.read_options())?;
                    files.push(path.clone());
                }
            }
        }
        let own = output.segmentation.warnings.iter();
        let own = own.map(|warning| format!("{}: {warning}", self.input.display()));
        let warnings: Vec<String> = output.warnings.iter().cloned().chain(own).collect();
        let measured = MaskMeasurements::of(mask, output.prepared.slice_axis());
        files.extend(self.draw(by, output, &measured)?);
        if let Some(path) = &self.json {
            let report = self.report(by, output, &measured, &files)?;
            let warnings = by.warnings().into_iter().chain(warnings.iter().cloned()).collect();
            crate::files::write_json(path, &VolumeReport { warnings, ..report })?;
            files.push(path.clone());
        }
        let grid = mask.grid();
        Ok(VolumeSummary {
            input: self.input.clone(),
            output: self.mask.clone(),
            files,
            dims: grid.dims,
            slices_with_mask: measured.slices_with_mask.len(),
            slices: grid.dims[output.prepared.slice_axis()],
            size: output.segmentation.size(),
            classes: self.class_summaries(output),
            confidence: output.segmentation.confidence(),
            agreement: output.segmentation.agreement(),
            warnings,
        })
    }

    /// The classes of a model of several.
    fn class_summaries(&self, output: &Output<'_>) -> Vec<ClassSummary> {
        let segmentation = &output.segmentation;
        several(&segmentation.classes)
            .iter()
            .map(|class| ClassSummary {
                name: class.name.clone(),
                label: class.label,
                size: segmentation.class_size(class),
                confidence: class.confidence(),
                agreement: class.agreement(),
            })
            .collect()
    }

    /// Draws and writes the overlays.
    fn draw(
        &self,
        by: &Segmenter,
        output: &Output<'_>,
        measured: &MaskMeasurements,
    ) -> Result<Vec<PathBuf>> {
        let (Some(choice), Some(volume)) = (&by.options().overlay, output.volume) else {
            return Ok(Vec::new());
        };
        let (prepared, mask) = (output.prepared, &output.segmentation.mask);
        let slices = mask.grid().dims[prepared.slice_axis()];
        let mut files = Vec::new();
        for slice in choice.of(slices, &measured.slices_with_mask) {
            let png = picture(&prepared.view(volume, mask, slice)?, &by.model().record().classes)?;
            let path = beside(&self.mask, &format!("slice{slice:03}.png"));
            write_atomic(&path, |file| file.write_all(&png))?;
            files.push(path);
        }
        Ok(files)
    }

    fn report(
        &self,
        by: &Segmenter,
        output: &Output<'_>,
        measured: &MaskMeasurements,
        files: &[PathBuf],
    ) -> Result<VolumeReport> {
        let grid = output.segmentation.mask.grid();
        let (has_mm, bounding_box) = (!output.segmentation.in_pixels, measured.bounding_box);
        let classes = &output.segmentation.classes;
        let of_class = |class: &ClassSegmentation| ClassReport {
            name: class.name.clone(),
            label: class.label,
            size: output.segmentation.class_size(class),
            predicted_iou: IouStatistics::of(&class.slices),
            confidence: class.confidence(),
            agreement: class.agreement(),
            slices: SliceReport::of(&class.slices),
        };
        Ok(VolumeReport {
            desam: env!("CARGO_PKG_VERSION").to_owned(),
            input: self.input.clone(),
            output: self.mask.clone(),
            files: files.to_vec(),
            dims: grid.dims,
            spacing_mm: has_mm.then(|| grid.spacing()),
            affine: has_mm.then_some(grid.affine.0),
            voxels: measured.voxels,
            size: output.segmentation.size(),
            bounding_box: if has_mm {
                bounding_box
            } else {
                bounding_box.map(BoundingBox::in_pixels)
            },
            slice_axis: output.prepared.slice_axis(),
            slices_with_mask: measured.slices_with_mask.clone(),
            predicted_iou: single(classes).and_then(|class| IouStatistics::of(&class.slices)),
            confidence: output.segmentation.confidence(),
            agreement: output.segmentation.agreement(),
            slices: single(classes).map_or_else(Vec::new, |class| SliceReport::of(&class.slices)),
            classes: several(classes).iter().map(of_class).collect(),
            settings: Settings {
                prompts: by.prompting().clone(),
                preprocess: by.model().record().preprocess.clone(),
                options: by.options().clone(),
                mask_interpolation: by.mask_interpolation(),
                device: crate::device::name(by.model().device()),
                precision: by.model().precision(),
            },
            model: by.facts(),
            warnings: Vec::new(),
        })
    }
}

/// The classes of a model of several; none of a model of one.
fn several(classes: &[ClassSegmentation]) -> &[ClassSegmentation] {
    if classes.len() > 1 { classes } else { &[] }
}

/// The only class of a model of one.
fn single(classes: &[ClassSegmentation]) -> Option<&ClassSegmentation> {
    match classes {
        [only] => Some(only),
        _ => None,
    }
}
