//! NIfTI-2, by the offsets of nifti2.h.

use super::*;

/// A file of four `i16` voxels, 2 × 2 × 1, with a qform and an sform.
fn file(pair: bool, big_endian: bool) -> Vec<u8> {
    let mut bytes = vec![0; 544];
    let mut put = |at: usize, le: &[u8]| {
        let mut field = le.to_vec();
        if big_endian {
            field.reverse();
        }
        bytes[at..at + field.len()].copy_from_slice(&field);
    };
    put(0, &540_i32.to_le_bytes());
    put(12, &4_i16.to_le_bytes());
    put(14, &16_i16.to_le_bytes());
    for (axis, d) in [3_i64, 2, 2, 1].into_iter().enumerate() {
        put(16 + 8 * axis, &d.to_le_bytes());
    }
    for (axis, d) in [1.0_f64, 0.5, 0.625, 3.0].into_iter().enumerate() {
        put(104 + 8 * axis, &d.to_le_bytes());
    }
    put(168, &(if pair { 0_i64 } else { 544 }).to_le_bytes());
    put(176, &2.0_f64.to_le_bytes());
    put(184, &1.0_f64.to_le_bytes());
    put(348, &2_i32.to_le_bytes());
    let rows = [0.5, 0.0, 0.0, -10.25, 0.0, 0.625, 0.0, 20.5, 0.0, 0.0, 3.0, 5.0];
    for (index, v) in rows.into_iter().enumerate() {
        put(400 + 8 * index, &f64::to_le_bytes(v));
    }
    put(500, &2_i32.to_le_bytes());
    let magic = if pair { b"ni2\0\r\n\x1a\n" } else { b"n+2\0\r\n\x1a\n" };
    bytes[4..12].copy_from_slice(magic);
    bytes
}

fn voxels(big_endian: bool) -> Vec<u8> {
    let bytes = if big_endian { i16::to_be_bytes } else { i16::to_le_bytes };
    [7, -8, 9, 300].into_iter().flat_map(bytes).collect()
}

fn expected() -> Affine {
    Affine([[0.5, 0.0, 0.0, -10.25], [0.0, 0.625, 0.0, 20.5], [0.0, 0.0, 3.0, 5.0]])
}

#[test]
fn single_files_and_pairs_of_either_byte_order() {
    let scratch = Scratch::new();
    for big_endian in [false, true] {
        let single = [file(false, big_endian), voxels(big_endian)].concat();
        let paths = [
            scratch.file("a.nii", &single),
            scratch.file("a.nii.gz", &packed(&single)),
            scratch.file("b.hdr", &file(true, big_endian)),
            scratch.file("b.img", &voxels(big_endian)),
        ];
        for path in paths {
            let volume = read_volume(&path).unwrap();
            // By hand: twice the value and one.
            assert_eq!(volume.data(), [15.0, -15.0, 19.0, 601.0], "{}", path.display());
            assert_eq!(volume.grid(), &Grid { dims: [2, 2, 1], affine: expected() });
        }
    }
}

#[test]
fn masks_are_of_version_one_where_they_fit() {
    let scratch = Scratch::new();
    let image = scratch.file("a.nii", &[file(false, false), voxels(false)].concat());
    let grid = *read_volume(&image).unwrap().grid();
    let mask = LabelVolume::new(grid, vec![0, 1, 1, 0]).unwrap();
    for name in ["m.nii", "m.nii.gz", "m.hdr"] {
        let out = scratch.path(name);
        write_mask_like(&image, &out, &mask).unwrap();
        assert_eq!(read_labels(&out).unwrap(), mask, "{name}");
    }
    let written = std::fs::read(scratch.path("m.nii")).unwrap();
    let h = header_of(&written);
    assert_eq!((written.len(), h.get(Field::SformCode, 0)), (352 + 4, 2.0));
    // A dimension beyond i16 needs version 2.
    let mut long = file(false, false);
    long[24..32].copy_from_slice(&40_000_i64.to_le_bytes());
    long[32..40].copy_from_slice(&1_i64.to_le_bytes());
    let image = scratch.file("long.nii", &[long, vec![1; 80_000]].concat());
    let grid = *read_volume(&image).unwrap().grid();
    let mask = LabelVolume::new(grid, vec![1; 40_000]).unwrap();
    write_mask_like(&image, &scratch.path("l.nii.gz"), &mask).unwrap();
    assert_eq!(read_labels(&scratch.path("l.nii.gz")).unwrap(), mask);
}

#[test]
fn cut_and_odd_headers_are_errors() {
    let scratch = Scratch::new();
    let whole = [file(false, false), voxels(false)].concat();
    for cut in [4, 348, 539, 540, 551] {
        let error = read_volume(&scratch.file("a.nii", &whole[..cut])).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{cut}: {error}");
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut odd = whole.clone();
        odd[at..at + bytes.len()].copy_from_slice(bytes);
        read_volume(&scratch.file("a.nii", &odd)).unwrap_err()
    };
    let huge = with(24, &(1_i64 << 40).to_le_bytes());
    assert!(matches!(huge, Error::Header { field: "dim[1]", .. }), "{huge}");
    let large = with(24, &u32::MAX.to_le_bytes());
    assert!(matches!(large, Error::Truncated { .. }), "{large}");
    let magic = with(4, b"n+2\0\n\n\n\n");
    assert!(matches!(magic, Error::Header { field: "magic", .. }), "{magic}");
}
