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
        ("a.png", VolumeFormat::Png),
        ("a.JPG", VolumeFormat::Jpeg),
        ("a.jpeg", VolumeFormat::Jpeg),
        ("a.tif", VolumeFormat::Tiff),
        ("a.Tiff", VolumeFormat::Tiff),
        ("a.bmp", VolumeFormat::Bmp),
    ] {
        assert_eq!(of(name), Some(format), "{name}");
    }
    for name in ["", ".nii", "a.raw", "a.zraw", "a.gz", "nrrd", "a.gif", "dir.nii/a"] {
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
    let refused = write_labels(&scratch.path("a.gif"), &mask);
    assert!(matches!(refused, Err(Error::UnknownFormat { .. })));
}

#[cfg(unix)]
#[test]
fn masks_of_two_files_are_not_written_through_links() {
    let scratch = Scratch::new();
    let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([1.0; 3]) };
    let mask = LabelVolume::new(grid, vec![0, 1]).unwrap();
    std::fs::create_dir(scratch.path("else")).unwrap();
    for (name, voxels) in [("a.mhd", "a.zraw"), ("b.nhdr", "b.raw.gz"), ("c.hdr", "c.img")] {
        let link = scratch.path(name);
        std::os::unix::fs::symlink(scratch.path("else").join(name), &link).unwrap();
        let error = write_labels(&link, &mask).unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }), "{error}");
        assert!(!scratch.path(voxels).exists() && !scratch.path("else").join(name).exists());
    }
    // One file is written where the link leads.
    std::os::unix::fs::symlink(scratch.path("else/d.mha"), scratch.path("d.mha")).unwrap();
    write_labels(&scratch.path("d.mha"), &mask).unwrap();
    assert_eq!(read_labels(&scratch.path("else/d.mha")).unwrap(), mask);
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
    assert_eq!(hash(&path).unwrap(), hash_file(&path).unwrap());
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

/// ITK reads a NIfTI file without codes as LPS, so a mask in one of ITK's formats is LPS.
#[test]
fn masks_in_formats_of_itk_lie_where_itk_places_the_volume() {
    let scratch = Scratch::new();
    let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([0.5, 0.75, 3.0]) };
    let mask = LabelVolume::new(grid, vec![0, 1]).unwrap();
    let image = scratch.path("a.nii");
    write_labels(&image, &mask).unwrap();
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[252..256].fill(0);
    let image = scratch.file("a.nii", &bytes);
    let by_itk = Affine::from_spacing([-0.5, -0.75, 3.0]);
    let itk = load_volume(&image, &ReadOptions::default()).unwrap();
    assert_eq!(itk.itk_affine, Some(by_itk));
    for name in ["m.mha", "m.mhd", "m.nrrd", "m.nhdr"] {
        write_mask_like(&image, &scratch.path(name), &mask).unwrap();
        let labels = load_labels(&scratch.path(name), &ReadOptions::default()).unwrap();
        assert!(labels.value.grid().matches(&Grid { affine: by_itk, ..grid }, 1e-9), "{name}");
        let aligned = align_labels(&itk, labels, Path::new(name)).unwrap();
        assert_eq!((aligned.value, aligned.warnings.len()), (mask.clone(), 1));
    }
    write_mask_like(&image, &scratch.path("m.nii"), &mask).unwrap();
    assert_eq!(read_labels(&scratch.path("m.nii")).unwrap(), mask);
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_at_once() {
    let scratch = Scratch::new();
    let names = ["a.nii", "a.nii.gz", "a.hdr", "a.mha", "a.mhd", "a.nrrd", "a.nhdr", "a"];
    for name in names {
        let made = std::process::Command::new("mkfifo").arg(scratch.path(name)).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: there is no mkfifo");
            return;
        }
        let error = read_volume(&scratch.path(name)).unwrap_err().to_string();
        assert!(error.contains("a named pipe") && error.contains(name), "{error}");
        assert!(files(&scratch.path(name)).is_err() && hash(&scratch.path(name)).is_err());
    }
    // Data files of headers, and the voxels of a pair.
    let header = "NDims = 3\nDimSize = 2 1 1\nElementType = MET_UCHAR\nElementDataFile = a\n";
    let mhd = scratch.file("b.mhd", header.as_bytes());
    let header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 1 1\nencoding: raw\ndata file: a\n";
    let nhdr = scratch.file("b.nhdr", header.as_bytes());
    let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([1.0; 3]) };
    let pair = scratch.path("c.hdr");
    write_labels(&pair, &LabelVolume::new(grid, vec![0, 1]).unwrap()).unwrap();
    std::fs::remove_file(scratch.path("c.img")).unwrap();
    std::fs::rename(scratch.path("a"), scratch.path("c.img")).unwrap();
    std::os::unix::fs::symlink("c.img", scratch.path("a")).unwrap();
    for path in [mhd, nhdr, pair] {
        let error = read_volume(&path).unwrap_err().to_string();
        assert!(error.contains("a named pipe"), "{error}");
        assert!(hash(&path).is_err());
    }
    let error = read_volume(Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(error.contains("a device"), "{error}");
}

#[test]
fn no_volume_is_larger_than_the_limit() {
    let scratch = Scratch::new();
    let grid = Grid { dims: [10, 10, 10], affine: Affine::from_spacing([1.0; 3]) };
    let labels = LabelVolume::new(grid, vec![1; 1000]).unwrap();
    for name in ["a.nii.gz", "b.mha", "c.nrrd", "d.mhd", "e.nhdr", "f.hdr"] {
        let path = scratch.path(name);
        write_labels(&path, &labels).unwrap();
        // A byte a label, four bytes an intensity.
        let limit = |bytes| ReadOptions::default().with_max_bytes(bytes);
        assert!(load_volume(&path, &limit(4000)).is_ok(), "{name}");
        let error = load_volume(&path, &limit(3999)).unwrap_err();
        assert!(matches!(error, Error::VolumeTooLarge { bytes: 4000, limit: 3999, .. }), "{error}");
        assert!(load_labels(&path, &limit(1000)).is_ok(), "{name}");
        assert!(load_labels(&path, &limit(999)).is_err(), "{name}");
    }
}

#[test]
fn maps_take_the_header_of_a_nifti_volume() {
    let scratch = Scratch::new();
    let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([1.0; 3]) };
    let map = Volume::new(grid, vec![0.25, 0.75]).unwrap();
    for name in ["a.nii.gz", "b.mha", "c.nrrd"] {
        let (volume, out) = (scratch.path(name), scratch.path("map.nii.gz"));
        write_labels(&volume, &LabelVolume::new(grid, vec![0, 1]).unwrap()).unwrap();
        write_map_like(&volume, &out, &map).unwrap();
        assert_eq!(read_volume(&out).unwrap(), map, "{name}");
    }
}
