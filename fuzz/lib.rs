//! Entry functions of the fuzz targets: each reads a file of any bytes in every way that desam reads
//! it. It must come out whole, or be an error.
//!
//! The mutation loop of the test suite (`tests/mutations`) runs the same functions on a stable
//! toolchain.

use desam_core::{Grid, LabelVolume};
use desam_encoder::Checkpoint;
use desam_volume::volumes::{self, ReadOptions};
use std::path::Path;

/// Most voxels of a volume whose mask is written as well.
const MAX_MASK: usize = 1 << 16;

/// One kind of file and the function that reads it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the target.
    pub name: &'static str,
    /// Name of the file, which decides its format.
    pub file: &'static str,
    /// Reads the file; panics where what was read is not whole.
    pub examine: fn(&Path),
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target { name: "nifti", file: "a.nii", examine: volume },
    Target { name: "metaimage", file: "a.mha", examine: volume },
    Target { name: "nrrd", file: "a.nrrd", examine: volume },
    Target { name: "dicom", file: "a.dcm", examine: series },
    Target { name: "segmentation", file: "a.dcm", examine: segmentation },
    // Whatever its name says: the first bytes decide between PNG, JPEG, TIFF and BMP.
    Target { name: "image", file: "a.png", examine: image },
    Target { name: "checkpoint", file: "a.bin", examine: checkpoint },
];

/// Runs the target of this name on `bytes`, in a separate folder.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|t| t.name == name).expect("a target of this name");
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join(target.file);
    std::fs::write(&path, bytes).expect("the file can be written");
    (target.examine)(&path);
}

/// A volume, as intensities and as labels.
fn volume(path: &Path) {
    if let Ok(volume) = volumes::read_volume(path) {
        assert_eq!(volume.data().len(), volume.grid().len());
        assert!(volume.grid().affine.inverse().is_ok());
    }
    if let Ok(labels) = volumes::read_labels(path) {
        assert_whole(&labels);
    }
}

/// A two-dimensional image, as intensities, as labels, and as the mask of an image.
fn image(path: &Path) {
    volume(path);
    let Ok(image) = volumes::read_volume(path) else {
        return;
    };
    assert!(image.is_in_pixels() && image.grid().dims[2] == 1);
    if let Some(channels) = image.color() {
        assert!(channels.iter().flatten().all(|v| (0.0..=255.0).contains(v)));
    }
    if image.data().len() <= MAX_MASK {
        let data = (0..image.data().len()).map(|v| if v % 3 == 0 { 255 } else { 0 }).collect();
        let mask = LabelVolume::new(*image.grid(), data).expect("as many pixels as the image");
        let out = path.with_file_name("mask.png");
        volumes::write_mask_like(path, &out, &mask).expect("a mask can be written");
        let read = volumes::read_labels(&out).expect("a mask that was written can be read");
        assert_eq!(read.data(), mask.data());
    }
}

/// A DICOM file as a volume, and as the series of a segmentation.
fn series(path: &Path) {
    volume(path);
    let Ok(image) = volumes::read_volume(path) else {
        return;
    };
    if image.data().len() <= MAX_MASK {
        let data = (0..image.data().len()).map(|v| u8::from(v % 3 == 0)).collect();
        let mask = LabelVolume::new(*image.grid(), data).expect("as many voxels as the image");
        let out = path.with_file_name("mask.dcm");
        if volumes::write_mask_like(path, &out, &mask).is_ok() {
            let read = volumes::read_labels(&out).expect("a mask that was written can be read");
            assert_eq!(read.data(), mask.data());
        }
    }
}

/// A DICOM segmentation, as it is, one segment alone, and on the grid of an image.
fn segmentation(path: &Path) {
    volume(path);
    let options = ReadOptions::default();
    let mut image = None;
    for segment in [None, Some(1), Some(2), Some(300)] {
        let options = options.clone().with_segment(segment);
        if let Ok(loaded) = volumes::load_labels(path, &options) {
            assert_whole(&loaded.value);
            image.get_or_insert(*loaded.value.grid());
        }
    }
    let Some(image) = image else {
        return;
    };
    // One slice more at the end than the frames say.
    let [columns, rows, slices] = image.dims;
    let image = Grid { dims: [columns, rows, slices + 1], ..image };
    if let Ok(loaded) = volumes::load_labels_of(path, &options, &image) {
        assert_whole(&loaded.value);
    }
}

fn assert_whole(labels: &LabelVolume) {
    assert_eq!(labels.data().len(), labels.grid().len());
    assert!(labels.grid().affine.inverse().is_ok());
}

/// A checkpoint, in any of its formats.
fn checkpoint(path: &Path) {
    if let Ok(checkpoint) = Checkpoint::open(path) {
        for tensor in checkpoint.tensors.values() {
            let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>());
            assert_eq!(values.expect("f32, as promised").len(), tensor.elem_count());
        }
    }
}
