//! Analyze 7.5: a pair without a magic.

use super::*;
use crate::volumes::ReadOptions;

fn pair(scratch: &Scratch, origin: [i16; 3]) -> std::path::PathBuf {
    let mut h = header([3, 4, 5], 2);
    h.set_text(at::MAGIC, 4, "");
    h.set_f32s(at::VOX_OFFSET, &[0.0]);
    h.set_f32s(at::PIXDIM, &[0.0, 0.5, 0.6, 3.0]);
    let bytes: Vec<u8> = origin.iter().flat_map(|v| v.to_le_bytes()).collect();
    h.put(253, &bytes);
    scratch.file("a.img", &(0..60).collect::<Vec<u8>>());
    scratch.file("a.hdr", h.bytes())
}

#[test]
fn axes_are_nibabels() {
    let scratch = Scratch::new();
    for (origin, expected) in [
        // nibabel 5.4.2, nibabel.load of such a pair.
        ([0; 3], [[-0.5, 0.0, 0.0, 0.5], [0.0, 0.6, 0.0, -0.9], [0.0, 0.0, 3.0, -6.0]]),
        // The same of a header with SPM's origin (2, 1, 4): by hand, that voxel is at 0.
        ([2, 1, 4], [[-0.5, 0.0, 0.0, 0.5], [0.0, 0.6, 0.0, 0.0], [0.0, 0.0, 3.0, -9.0]]),
        // Far from the volume: not believed.
        ([2, 1, 400], [[-0.5, 0.0, 0.0, 0.5], [0.0, 0.6, 0.0, -0.9], [0.0, 0.0, 3.0, -6.0]]),
    ] {
        let path = pair(&scratch, origin);
        for path in [path, scratch.path("a.img")] {
            let loaded = load_volume(&path, &ReadOptions::default()).unwrap();
            assert_close(loaded.value.grid().affine, Affine(expected), 1e-6);
            assert_eq!(loaded.value.data()[59], 59.0);
            assert!(loaded.warnings[0].contains("Analyze 7.5"), "{:?}", loaded.warnings);
            // SimpleITK 2.5.7 reads the same file with an identity in LPS.
            assert_close(loaded.itk_affine.unwrap(), Affine::from_spacing([-0.5, -0.6, 3.0]), 1e-6);
        }
    }
}

#[test]
fn a_mask_has_no_codes_either() {
    let scratch = Scratch::new();
    let image = pair(&scratch, [0; 3]);
    let grid = *read_volume(&image).unwrap().grid();
    let mask = LabelVolume::new(grid, (0..60).map(|v| v % 2).collect()).unwrap();
    write_mask_like(&image, &scratch.path("m.hdr"), &mask).unwrap();
    let h = header_of(&std::fs::read(scratch.path("m.hdr")).unwrap());
    assert_eq!((h.get(Field::QformCode, 0), h.get(Field::SformCode, 0)), (0.0, 0.0));
    assert_eq!(read_labels(&scratch.path("m.hdr")).unwrap().data(), mask.data());
    // By ITK's reading both are on one grid; so says the comparison, with a word about it.
    let image = load_volume(&image, &ReadOptions::default()).unwrap();
    let labels = load_labels(&scratch.path("m.hdr"), &ReadOptions::default()).unwrap();
    let aligned = crate::volumes::align_labels(&image, labels, Path::new("m.hdr")).unwrap();
    assert_eq!(aligned.value, mask);
    assert!(aligned.warnings.iter().any(|w| w.contains("no orientation")), "{aligned:?}");
}

#[test]
fn only_a_pair_may_do_without_a_magic() {
    let scratch = Scratch::new();
    let mut h = header([2, 2, 1], 2);
    h.set_text(at::MAGIC, 4, "");
    let error = read_volume(&scratch.file("a.nii", &file_bytes(&h, &[1, 2, 3, 4]))).unwrap_err();
    assert!(matches!(error, Error::Header { field: "magic", .. }), "{error}");
}
