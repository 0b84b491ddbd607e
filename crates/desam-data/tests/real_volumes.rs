//! Real volumes, where they lie beside the checkout.

use desam_core::{EncoderSpec, LabelVolume};
use desam_data::preprocess::PreprocessConfig;
use desam_data::{layout, nifti};
use std::io::Read;
use std::path::{Path, PathBuf};

// A test that could not run must say so.
#[allow(clippy::print_stdout)]
fn real(name: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real").join(name);
    if dir.exists() {
        return Some(dir);
    }
    println!("skipped: no real volumes beside the checkout");
    None
}

fn spec(input_side: usize) -> EncoderSpec {
    EncoderSpec { input_side, patch: 16, tap_channels: vec![96; 3], embedding_channels: 64 }
}

#[test]
fn three_sites_of_hippocampi() {
    let Some(dir) = real("hippocampus") else {
        return;
    };
    let cases = layout::discover(&dir).unwrap();
    // Its README: 60 cases, three sites A, B, C; the anchors in use take 20 of A and of C.
    assert_eq!(cases.len(), 60);
    for site in ["A", "B", "C"] {
        assert_eq!(cases.iter().filter(|c| c.site == site).count(), 20, "{site}");
    }
    for case in &cases {
        let volume = nifti::read_volume(&case.image).unwrap();
        let labels = nifti::read_labels(case.label.as_ref().unwrap()).unwrap();
        assert!(labels.data().iter().all(|&v| v <= 2), "{case:?}");
        for config in [PreprocessConfig::official(), PreprocessConfig::paper()] {
            let prepared = config.prepare(&volume, &spec(256)).unwrap();
            let masks = prepared.labels(&labels).unwrap();
            assert!(masks.iter().any(|m| !m.is_empty()), "{case:?}");
            let back = prepared.restore(&masks).unwrap();
            assert_eq!(back.grid(), volume.grid());
        }
        // Enlarged to 64 × 64, nothing is lost on the way there and back.
        let prepared = PreprocessConfig::official().prepare(&volume, &spec(256)).unwrap();
        let back = prepared.restore(&prepared.labels(&labels).unwrap()).unwrap();
        assert_eq!(back.data(), labels.binarised().data(), "{case:?}");
    }
}

#[test]
fn a_mask_keeps_the_header_of_a_prostate() {
    let Some(dir) = real("ProstateX-0000") else {
        return;
    };
    let image = dir.join("t2.nii.gz");
    let volume = nifti::read_volume(&image).unwrap();
    let gland = nifti::read_labels(&dir.join("gland_Guerbet23.nii.gz")).unwrap();
    let mask = LabelVolume::new(*volume.grid(), gland.data().to_vec()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("mask.nii.gz");
    nifti::write_mask_like(&image, &out, &mask).unwrap();
    let back = nifti::read_labels(&out).unwrap();
    assert_eq!(back, mask);
    let [written, reference] = [&out, &image].map(|path| {
        let mut header = vec![0; 348];
        let file = std::fs::File::open(path).unwrap();
        flate2::read::GzDecoder::new(file).read_exact(&mut header).unwrap();
        header
    });
    // nifti1.h: dim at 40..56, pixdim at 76..108, units at 123, the two forms at 252..328.
    for range in [40..56, 76..108, 123..124, 252..328] {
        assert_eq!(written[range.clone()], reference[range.clone()], "{range:?}");
    }
}

/// What a scanner wrote and what another program made of it lie in the same place.
#[cfg(feature = "dicom")]
#[test]
fn a_dicom_series_is_its_nifti_file() {
    use desam_data::volumes;
    let Some(dir) = real("ProstateX-0000") else {
        return;
    };
    let nifti = nifti::read_volume(&dir.join("t2.nii.gz")).unwrap();
    let dicom = volumes::read_volume(&dir.join("t2_axial")).unwrap();
    // Its README: 19 slices of 384², oblique.
    assert_eq!(dicom.grid().dims, [384, 384, 19]);
    assert!(dicom.data() == nifti.data(), "other voxels");
    // NIfTI holds f32, and the other program rounded the directions.
    assert!(dicom.grid().matches(nifti.grid(), 2e-3), "{:?} {:?}", dicom.grid(), nifti.grid());
    for config in [PreprocessConfig::official(), PreprocessConfig::paper()] {
        let [a, b] = [&dicom, &nifti].map(|v| config.prepare(v, &spec(1024)).unwrap());
        assert_eq!(a.len(), b.len());
        // The paper's resampling takes the spacing from the affine, whose last digits differ.
        let off = a.levels().iter().zip(b.levels()).filter(|(x, y)| x.abs_diff(**y) > 1).count();
        assert_eq!((a.levels().len(), off), (b.levels().len(), 0));
    }
    let gland = nifti::read_labels(&dir.join("gland_Guerbet23.nii.gz")).unwrap();
    assert!(dicom.grid().matches(gland.grid(), 0.1));
}
