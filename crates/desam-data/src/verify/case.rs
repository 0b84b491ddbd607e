//! One case: what it is, and what is wrong with it.

use super::{CaseReport, MaskCheck, VerifyOptions};
use crate::layout::Case;
use crate::preprocess::{Orientation, RESAMPLED_IMAGE, spacing_warning};
use desam_core::{BinaryMask, LabelVolume, Progress, Volume};
use desam_volume::volumes::{
    Loaded, VolumeFormat, align_labels, load_labels, load_labels_of, load_volume,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Distinct values up to which an image of whole numbers must be a label.
const FEW_VALUES: usize = 16;
/// Share of foreground that no organ of interest has.
const MOST_FOREGROUND: f64 = 0.5;

/// A case that has been looked at.
pub(super) struct ExaminedCase {
    pub(super) report: CaseReport,
    /// BLAKE3 of the image's voxels, where it could be read: the same for the same image in another
    /// format or packed otherwise.
    pub(super) content: Option<String>,
}

/// Reads a case in the way that `options` ask for. What its readers warn about goes into the report.
pub(super) fn examine(
    case: &Case,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> ExaminedCase {
    let mut report = CaseReport {
        site: case.site.clone(),
        id: case.id.clone(),
        image: case.image.clone(),
        label: case.label.clone(),
        format: match options.read.reader_of(&case.image) {
            Some(_) => None,
            None => VolumeFormat::of(&case.image).ok(),
        },
        dims: None,
        spacing_mm: None,
        label_values: BTreeMap::new(),
        foreground_ml: None,
        slices: 0,
        labelled_slices: 0,
        masks: None,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let image = take(load_volume(&case.image, &options.read), &mut report, progress);
    if let Some(volume) = &image {
        look_at_image(&volume.value, options, &mut report);
    }
    match &case.label {
        None => report.warnings.push("there is no label: it cannot be trained on".into()),
        Some(path) => {
            let loaded = match &image {
                Some(image) => load_labels_of(path, &options.read, image.value.grid()),
                None => load_labels(path, &options.read.for_labels()),
            };
            if let Some(labels) = take(loaded, &mut report, progress)
                && let Some(labels) = look_at_labels(path, labels, image.as_ref(), &mut report)
            {
                look_at_masks(&labels, image.as_ref().map(|i| &i.value), options, &mut report);
            }
        }
    }
    ExaminedCase { report, content: image.as_ref().map(|image| content(&image.value)) }
}

/// The content of a file that was read; warnings or its error go into the report.
fn take<T>(
    loaded: desam_volume::Result<Loaded<T>>,
    report: &mut CaseReport,
    progress: &dyn Progress,
) -> Option<Loaded<T>> {
    match loaded {
        Ok(mut loaded) => {
            loaded.details.iter().for_each(|detail| progress.detail(detail));
            report.warnings.append(&mut loaded.warnings);
            Some(loaded)
        }
        Err(error) => {
            report.errors.push(error.to_string());
            None
        }
    }
}

fn look_at_image(volume: &Volume, options: &VerifyOptions, report: &mut CaseReport) {
    let grid = volume.grid();
    if let Err(error) = options.preprocess.mask_spacing(grid, options.mask_side) {
        report.errors.push(error.to_string());
    }
    report.dims = Some(grid.dims);
    report.spacing_mm = (!volume.is_in_pixels()).then(|| grid.spacing());
    report.slices = axial_slices(grid);
    let odd = volume.data().iter().filter(|v| !v.is_finite()).count();
    if odd > 0 {
        report.errors.push(format!("{odd} voxels of the image are not finite"));
    }
    let mut values: Vec<f32> = Vec::new();
    for &value in volume.data() {
        if values.len() <= FEW_VALUES && !values.contains(&value) {
            values.push(value);
        }
    }
    let labels = values.iter().all(|v| v.fract() == 0.0 && (0.0..=255.0).contains(v));
    if let [only] = values.as_slice() {
        report.errors.push(format!("the image is flat: all its voxels are {only}"));
    } else if values.len() <= FEW_VALUES && labels {
        let count = values.len();
        report.errors.push(format!(
            "the image holds {count} values, whole numbers from 0 to 255: is it a label?"
        ));
    }
    if !volume.is_in_pixels() {
        report.warnings.extend(spacing_warning(grid));
    } else if options.preprocess.spacing_mm.is_some() {
        report.warnings.push(RESAMPLED_IMAGE.into());
    }
}

/// The labels on their image's grid; `None` where they lie on another.
fn look_at_labels(
    path: &Path,
    read: Loaded<LabelVolume>,
    image: Option<&Loaded<Volume>>,
    report: &mut CaseReport,
) -> Option<LabelVolume> {
    let labels = &read.value;
    for &value in labels.data() {
        *report.label_values.entry(value).or_default() += 1;
    }
    let all = labels.data().len() as f64;
    let foreground = all - report.label_values.get(&0).map_or(0.0, |n| *n as f64);
    let in_pixels = image.is_some_and(|image| image.value.is_in_pixels());
    report.foreground_ml = (!in_pixels).then(|| foreground * labels.grid().voxel_mm3() / 1000.0);
    if foreground == 0.0 {
        report.errors.push("the label has no foreground".into());
    }
    if foreground > MOST_FOREGROUND * all {
        let percent = 100.0 * foreground / all;
        report.warnings.push(format!("{percent:.0} % of the label is foreground"));
    }
    let aligned = match image {
        None => Ok(read),
        Some(image) => align_labels(image, read, path),
    };
    let labels = match aligned {
        Ok(mut labels) => {
            report.warnings.append(&mut labels.warnings);
            labels.value
        }
        Err(error) => {
            report.errors.push(error.to_string());
            return None;
        }
    };
    // Counted on the image's affine, which is the one that slices are cut by.
    let grid = image.map_or(labels.grid(), |image| image.value.grid());
    let slices = axial_slices(grid);
    let ordered = match Orientation::Axial.order(&grid.affine).apply(grid.dims, labels.data()) {
        Ok(ordered) => ordered,
        Err(error) => {
            report.errors.push(error.to_string());
            return None;
        }
    };
    let voxels = ordered.len().checked_div(slices).unwrap_or(0).max(1);
    let labelled = ordered.chunks(voxels).filter(|s| s.iter().any(|v| *v > 0));
    report.labelled_slices = labelled.count();
    Some(labels)
}

/// Checks the labels as masks. Labels that cannot be used have their error already.
fn look_at_masks(
    labels: &LabelVolume,
    image: Option<&Volume>,
    options: &VerifyOptions,
    report: &mut CaseReport,
) {
    let VerifyOptions { preprocess, mask_side, border_px, .. } = options;
    let grid = image.map_or(labels.grid(), Volume::grid);
    let Ok(traced) = preprocess.trace_labels(grid, labels, *mask_side) else {
        return;
    };
    let pixels = |count: &dyn Fn(&BinaryMask) -> usize| {
        traced.masks.iter().map(|mask| count(&mask.foreground())).sum::<usize>()
    };
    report.masks = Some(MaskCheck {
        round_trip: traced.round_trip,
        mask_pixels: pixels(&BinaryMask::area) as u64,
        border_pixels: pixels(&|mask| mask.border_area(*border_px)) as u64,
    });
}

fn axial_slices(grid: &desam_core::Grid) -> usize {
    Orientation::Axial.order(&grid.affine).grid(grid).dims[2]
}

fn content(volume: &Volume) -> String {
    let mut hasher = blake3::Hasher::new();
    volume.grid().dims.iter().for_each(|d| _ = hasher.update(&d.to_le_bytes()));
    let mut bytes = Vec::with_capacity(1 << 16);
    // Two photographs may have the same luma.
    let color = volume.color().into_iter().flatten().map(Vec::as_slice);
    for chunk in std::iter::once(volume.data()).chain(color).flat_map(|c| c.chunks(1 << 14)) {
        bytes.clear();
        chunk.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}
