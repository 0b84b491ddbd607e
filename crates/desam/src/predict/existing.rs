//! Existing files that a prediction would overwrite.

use super::output::OutputFiles;
use super::{PredictOptions, SliceChoice};
use crate::Result;
use desam_core::{ClassTable, Destination};
use desam_volume::volumes::{beside, mask_files};
use std::path::{Path, PathBuf};

/// Existing regular files that segmenting `input` into `mask` would overwrite: the mask, its data
/// file, and the extra files of `options` for a model of these classes. Which slices are drawn is known only afterwards, so unless
/// all are named, every overlay of this mask counts. Devices and FIFOs are never replaced.
///
/// # Errors
/// When a file would overwrite the volume itself.
pub fn existing_outputs(
    input: &Path,
    mask: &Path,
    options: &PredictOptions,
    classes: &ClassTable,
) -> Result<Vec<PathBuf>> {
    let files = OutputFiles::new(input, mask, options, classes)?;
    let mut paths = mask_files(mask);
    paths.extend(files.maps_and_report().map(Path::to_path_buf));
    paths.extend(match &options.overlay {
        None => Vec::new(),
        Some(SliceChoice::Listed(slices)) => {
            slices.iter().map(|slice| beside(mask, &format!("slice{slice:03}.png"))).collect()
        }
        Some(_) => pictures(mask),
    });
    paths.retain(|path| Destination::replaces(path));
    Ok(paths)
}

/// Existing overlays of a mask.
fn pictures(mask: &Path) -> Vec<PathBuf> {
    let start = beside(mask, "slice");
    let start = start.file_name().unwrap_or_default().as_encoded_bytes();
    let folder = mask.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_picture = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let number = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(b".png"));
        number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut pictures: Vec<PathBuf> = entries.map(|e| e.path()).filter(is_picture).collect();
    pictures.sort_unstable();
    pictures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_that_would_be_overwritten_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [
            "t2.mhd",
            "t2.zraw",
            "t2.json",
            "t2.iou.nii.gz",
            "t2.slice003.png",
            "t2.slice.png",
            "t2.slice12x.png",
            "other.slice003.png",
        ] {
            std::fs::write(at(name), b"").unwrap();
        }
        let classes = ClassTable::default();
        let found = |options: &PredictOptions| {
            let found = existing_outputs(&at("input.mha"), &at("t2.mhd"), options, &classes);
            let found = found.unwrap();
            let names = found.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(found(&PredictOptions::default()), ["t2.mhd", "t2.zraw"]);
        let all = PredictOptions {
            iou_map: true,
            probability: true,
            json: true,
            overlay: Some(SliceChoice::Middle),
            ..PredictOptions::default()
        };
        let expected = ["t2.mhd", "t2.zraw", "t2.iou.nii.gz", "t2.json", "t2.slice003.png"];
        assert_eq!(found(&all), expected);
        let these = PredictOptions {
            overlay: Some(SliceChoice::Listed(vec![3, 4])),
            ..PredictOptions::default()
        };
        assert_eq!(found(&these), ["t2.mhd", "t2.zraw", "t2.slice003.png"]);
    }
}
