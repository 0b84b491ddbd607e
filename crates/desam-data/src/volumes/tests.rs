use super::*;
use crate::voxels::testing::Scratch;
use desam_core::{Affine, Grid};

#[test]
fn formats_by_name() {
    let of = |name: &str| VolumeFormat::of_name(Path::new(name));
    for (name, format) in [
        ("a.nii.gz", VolumeFormat::Nifti),
        ("a.HDR", VolumeFormat::Nifti),
        ("a.img", VolumeFormat::Nifti),
        ("a.b.Mha", VolumeFormat::MetaImage),
        ("a.mhd", VolumeFormat::MetaImage),
        ("a.seg.nrrd", VolumeFormat::Nrrd),
        ("dir/a.nhdr", VolumeFormat::Nrrd),
    ] {
        assert_eq!(of(name), Some(format), "{name}");
        assert!(
            AnyReader.accepts(Path::new(name)) && format.reader().unwrap().accepts(Path::new(name))
        );
    }
    for name in ["", ".nii", "a.raw", "a.zraw", "a.gz", "nrrd", "a.png", "dir.nii/a"] {
        assert_eq!(of(name), None, "{name}");
    }
}

#[test]
fn any_format_out_and_back() {
    let scratch = Scratch::new();
    let affine = Affine([[-0.5, 0.0, 0.25, 3.0], [0.0, -0.75, 0.0, 4.0], [0.125, 0.0, 3.0, -5.5]]);
    let grid = Grid { dims: [3, 2, 2], affine };
    let mask = LabelVolume::new(grid, (0..12).map(|v| v % 2).collect()).unwrap();
    let names = ["a.nii.gz", "b.mha", "c.nrrd", "d.mhd", "e.nhdr", "f.hdr"];
    for name in names {
        write_labels(&scratch.path(name), &mask).unwrap();
    }
    // From every format to every other, and by content where the name is silent.
    for from in names {
        assert_eq!(read_labels(&scratch.path(from)).unwrap(), mask, "{from}");
        for to in names {
            let out = scratch.path(&format!("{from}-{to}"));
            write_mask_like(&scratch.path(from), &out, &mask).unwrap();
            assert_eq!(read_labels(&out).unwrap(), mask, "{from} {to}");
        }
    }
    for from in ["a.nii.gz", "b.mha", "c.nrrd"] {
        let nameless = scratch.path("nameless");
        std::fs::copy(scratch.path(from), &nameless).unwrap();
        let volume = read_volume(&nameless).unwrap();
        assert_eq!(volume.grid(), &grid, "{from}");
    }
    let odd = scratch.file("odd", b"no volume at all");
    assert!(matches!(read_volume(&odd), Err(Error::UnknownFormat { .. })));
    // A segmentation is of a series.
    for refused in [
        write_labels(&scratch.path("a.dcm"), &mask),
        write_mask_like(&scratch.path("a.nii.gz"), &scratch.path("a.dcm"), &mask),
        expect_mask_name(&scratch.path("a.nii.gz"), &scratch.path("a.dcm")),
    ] {
        assert!(matches!(refused, Err(Error::Unwritable { .. })), "{refused:?}");
    }
    assert!(expect_mask_name(&scratch.path("a.nii.gz"), &scratch.path("b.mha")).is_ok());
    let refused = write_labels(&scratch.path("a.png"), &mask);
    assert!(matches!(refused, Err(Error::UnknownFormat { .. })));
}

#[test]
fn a_hash_covers_every_file_of_a_volume() {
    let scratch = Scratch::new();
    let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([1.0; 3]) };
    for (name, other) in [("d.mhd", "d.zraw"), ("e.nhdr", "e.raw.gz"), ("f.hdr", "f.img")] {
        let [path, other] = [name, other].map(|n| scratch.path(n));
        let write = |data| write_labels(&path, &LabelVolume::new(grid, data).unwrap()).unwrap();
        write(vec![0, 1]);
        let before = hash(&path).unwrap();
        assert_eq!(files(&path).unwrap(), [path.clone(), other.clone()]);
        write(vec![1, 0]);
        assert_ne!(hash(&path).unwrap(), before, "{name}");
        write(vec![0, 1]);
        assert_eq!(hash(&path).unwrap(), before, "{name}");
    }
    // A volume in one file has that file's hash.
    let path = scratch.path("a.nii.gz");
    write_labels(&path, &LabelVolume::new(grid, vec![0, 1]).unwrap()).unwrap();
    assert_eq!(hash(&path).unwrap(), crate::cache::hash_file(&path).unwrap());
}

#[test]
fn a_segment_of_a_file_without_segments_is_a_warning() {
    let scratch = Scratch::new();
    let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([1.0; 3]) };
    let labels = LabelVolume::new(grid, vec![1, 2]).unwrap();
    for name in ["a.nii.gz", "b.mha", "c.nrrd"] {
        let path = scratch.path(name);
        write_labels(&path, &labels).unwrap();
        let choice = ReadOptions::default().with_segment(Some(2));
        let loaded = load_labels(&path, &choice).unwrap();
        assert_eq!(loaded.value, labels, "{name}");
        assert!(loaded.warnings[0].contains("instead of segment 2"), "{:?}", loaded.warnings);
        assert!(load_labels(&path, &ReadOptions::default()).unwrap().warnings.is_empty());
    }
}

#[test]
fn files_beside_a_mask() {
    let name = |mask: &str| beside(Path::new(mask), "iou.nii.gz").display().to_string();
    assert_eq!(name("out/a.b.nii.gz"), "out/a.b.iou.nii.gz");
    assert_eq!(name("a.MHD"), "a.iou.nii.gz");
    assert_eq!(name("a.dcm"), "a.iou.nii.gz");
    assert_eq!(name("odd"), "odd.iou.nii.gz");
}
