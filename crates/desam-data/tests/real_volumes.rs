//! Real volumes, where they lie beside the checkout.

use desam_core::{EncoderSpec, LabelVolume};
use desam_data::layout;
use desam_data::preprocess::{LabelRule, PreprocessConfig};
use desam_volume::nifti;
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
        assert_eq!(back.data(), labels.data(), "{case:?}");
    }
}

/// Two glands by others on an oblique volume, to the model's masks and back: they stay where they
/// are, stretched or resampled to the paper's spacing.
#[test]
#[allow(clippy::print_stdout, reason = "how far off says more than a bound")]
fn glands_stay_where_they_are() {
    let Some(dir) = real("ProstateX-0000") else {
        return;
    };
    let volume = nifti::read_volume(&dir.join("t2.nii.gz")).unwrap();
    for name in ["gland_Bosma22b.nii.gz", "gland_Guerbet23.nii.gz"] {
        let gland = nifti::read_labels(&dir.join(name)).unwrap();
        for config in [PreprocessConfig::official(), PreprocessConfig::paper()] {
            let config = PreprocessConfig { labels: LabelRule::Nearest, ..config };
            let prepared = config.prepare(&volume, &spec(1024)).unwrap();
            let back = prepared.restore(&prepared.labels(&gland).unwrap()).unwrap();
            assert_eq!(back.grid(), volume.grid());
            let middles = [&back, &gland].map(centroid);
            let off = (0..3).map(|a| (middles[0][a] - middles[1][a]).powi(2)).sum::<f64>().sqrt();
            // 384 voxels on 256 mask pixels: every third lies midway between two and takes the later
            // one's label, its neighbour's. That is a third of 0.5 mm on both axes, 0.24 mm. Slices
            // of 3.6 mm for those of 3 mm may round unevenly at the two ends.
            let most = if config.spacing_mm.is_some() { 1.0 } else { 0.24 };
            assert!(off < most, "{name}: {off} mm");
            println!("{name}: {off:.2} mm");
            let [found, truth] =
                [&back, &gland].map(|m| m.data().iter().filter(|v| **v > 0).count());
            assert!((found as f64 / truth as f64 - 1.0).abs() < 0.05, "{name}: {found} {truth}");
        }
    }
}

/// The middle of a mask, in mm.
fn centroid(mask: &LabelVolume) -> [f64; 3] {
    let [width, height, _] = mask.grid().dims;
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for (at, _) in mask.data().iter().enumerate().filter(|(_, v)| **v > 0) {
        let voxel = [at % width, at / width % height, at / (width * height)];
        sum.iter_mut().zip(voxel).for_each(|(s, v)| *s += v as f64);
        count += 1.0;
    }
    mask.grid().affine.apply(sum.map(|s| s / count))
}

/// A scanner's DICOM series and another program's NIfTI file of it have the same voxels and
/// geometry.
#[cfg(feature = "dicom")]
#[test]
fn a_dicom_series_is_its_nifti_file() {
    use desam_volume::volumes;
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
