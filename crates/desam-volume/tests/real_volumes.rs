//! Real volumes, where they lie beside the checkout.

use desam_core::LabelVolume;
use desam_volume::nifti;
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
