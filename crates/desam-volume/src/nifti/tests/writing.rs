use super::forms::{affine_of, oblique};
use super::*;

#[test]
fn written_volumes_come_back() {
    let scratch = Scratch::new();
    let grid = Grid { dims: [3, 4, 5], affine: oblique() };
    let volume = Volume::new(grid, (0..60).map(|v| v as f32 * 0.37 - 5.0).collect()).unwrap();
    let labels = LabelVolume::new(grid, (0..60).map(|v| v * 4).collect()).unwrap();
    for name in ["a.nii", "a.nii.gz", "b.NII.GZ"] {
        let path = scratch.path(name);
        write_volume(&path, &volume).unwrap();
        let back = read_volume(&path).unwrap();
        assert_eq!(back.data(), volume.data());
        // Headers hold f32.
        assert_close(back.grid().affine, oblique(), 1e-5);
        let first = std::fs::read(&path).unwrap();
        assert_eq!(first.starts_with(&[0x1f, 0x8b]), name != "a.nii");
        write_volume(&path, &volume).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first, "the same bytes each time");
        write_labels(&path, &labels).unwrap();
        assert_eq!(read_labels(&path).unwrap().data(), labels.data());
    }
}

#[test]
fn grids_that_do_not_fit_a_header() {
    let scratch = Scratch::new();
    let out = scratch.path("a.nii");
    for (dims, affine) in [
        ([40_000, 1, 1], Affine::from_spacing([1.0; 3])),
        ([0, 1, 1], Affine::from_spacing([1.0; 3])),
        ([1, 1, 1], Affine::from_spacing([f64::NAN, 1.0, 1.0])),
    ] {
        let grid = Grid { dims, affine };
        let labels = LabelVolume::new(grid, vec![0; grid.len()]).unwrap();
        assert!(matches!(write_labels(&out, &labels), Err(Error::Unwritable { .. })));
    }
    assert!(!out.exists());
}

/// The written header's qform agrees with its sform; where that is sheared see `itk.rs`.
#[test]
fn qform_matches_sform() {
    let scratch = Scratch::new();
    let out = scratch.path("a.nii");
    let write = |affine| {
        let grid = Grid { dims: [1, 1, 1], affine };
        write_labels(&out, &LabelVolume::new(grid, vec![1]).unwrap()).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        let mut h = header_of(&bytes);
        let code = h.get(Field::QformCode, 0);
        h.set_i16(at::SFORM_CODE, 0);
        (code, affine_of(&h))
    };
    let mut left_handed = oblique();
    left_handed.0.iter_mut().for_each(|row| row[0] = -row[0]);
    let half_turn = Affine([[-2.0, 0.0, 0.0, 1.0], [0.0, -3.0, 0.0, 2.0], [0.0, 0.0, 4.0, 3.0]]);
    for affine in [oblique(), left_handed, half_turn] {
        let (code, qform) = write(affine);
        assert_eq!(code, 1.0);
        assert_close(qform, affine, 1e-5);
    }
}

#[test]
fn masks_keep_the_references_header() {
    let scratch = Scratch::new();
    let mut h = header([2, 2, 1], 4);
    h.set_f32s(at::SCL_SLOPE, &[2.0, 3.0]);
    h.set_f32s(at::CAL_MAX, &[100.0, 1.0]);
    h.set_f32s(at::VOX_OFFSET, &[368.0]);
    h.set_i16(at::QFORM_CODE, 1);
    h.set_i16(at::SFORM_CODE, 2);
    h.set_f32s(at::QUATERN, &[0.0, 0.0, 1.0, 4.0, 5.0, 6.0]);
    h.set_f32s(at::SROW, &[-1.0, 0.0, 0.0, 4.0, 0.0, -1.0, 0.0, 5.0, 0.0, 0.0, 1.0, 6.0]);
    h.set_u8(at::XYZT_UNITS, 10);
    let little = file_bytes(&h, &[0; 24]);
    let out = scratch.path("mask.nii");
    for bytes in [little.clone(), swapped(&little, 2)] {
        let reference = scratch.file("ref.nii", &bytes);
        let grid = *read_volume(&reference).unwrap().grid();
        let mask = LabelVolume::new(grid, vec![0, 1, 1, 0]).unwrap();
        write_mask_like(&reference, &out, &mask).unwrap();
        assert_eq!(read_labels(&out).unwrap(), mask);
        let written = std::fs::read(&out).unwrap();
        assert_eq!(written.len(), 352 + 4);
        let may_differ = |i: usize| {
            (70..74).contains(&i)
                || (108..120).contains(&i)
                || (124..132).contains(&i)
                || (148..228).contains(&i)
        };
        for i in (0..348).filter(|&i| !may_differ(i)) {
            assert_eq!(written[i], bytes[i], "header byte {i}");
        }
        let other = Grid { affine: Affine::from_spacing([1.0; 3]), ..grid };
        let elsewhere = LabelVolume::new(other, vec![0; 4]).unwrap();
        let refused = write_mask_like(&reference, &out, &elsewhere);
        assert!(matches!(refused, Err(Error::GridMismatch { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn quaternions_there_and_back(
        q in prop::array::uniform4(-1.0_f64..1.0),
        spacing in prop::array::uniform3(0.2_f64..5.0),
        flip: bool,
    ) {
        let length = q.iter().map(|v| v * v).sum::<f64>().sqrt();
        prop_assume!(length > 1e-3);
        let [a, b, c, d] = q.map(|v| v / length);
        let handed = if flip { -1.0 } else { 1.0 };
        let rotation = [
            [1.0 - 2.0 * (c * c + d * d), 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), 1.0 - 2.0 * (b * b + d * d), 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), 1.0 - 2.0 * (b * b + c * c)],
        ];
        let mut affine = Affine([[0.0; 4]; 3]);
        for (row, r) in affine.0.iter_mut().zip(rotation) {
            *row = [r[0] * spacing[0], r[1] * spacing[1], r[2] * spacing[2] * handed, 3.0];
        }
        let scratch = Scratch::new();
        let out = scratch.path("a.nii");
        let grid = Grid { dims: [1, 1, 1], affine };
        write_labels(&out, &LabelVolume::new(grid, vec![1]).unwrap()).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        let mut h = header_of(&bytes);
        h.set_i16(at::SFORM_CODE, 0);
        let back = affine_of(&h);
        for (f, e) in back.0.iter().flatten().zip(affine.0.iter().flatten()) {
            // The scalar part is rebuilt from f32: near a half turn its error is a square root.
            prop_assert!((f - e).abs() < 5e-3, "{back:?} {affine:?}");
        }
    }
}
