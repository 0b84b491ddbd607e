use super::*;

pub(super) fn affine_of(h: &RawHeader) -> Affine {
    Facts::read(h, Path::new("test.nii")).unwrap().grid.affine
}

#[test]
fn qform_is_nibabels() {
    let mut h = header([4, 5, 6], 2);
    h.set_i16(at::QFORM_CODE, 1);
    h.set_f32s(at::PIXDIM, &[-1.0, 0.5, 0.75, 3.0]);
    h.set_f32s(at::QUATERN, &[0.1, -0.2, 0.3, -10.0, 20.0, 5.5]);
    // nibabel 5.4, Nifti1Header.get_qform of the same fields.
    let expected = Affine([
        [0.369_999_991_655, -0.447_312_847_677, 0.932_834_220_615, -10.0],
        [0.258_208_563_926, 0.599_999_988_824, 0.916_417_134_895, 20.0],
        [0.215_472_373_381, 0.049_104_273_889, -2.699_999_991_059, 5.5],
    ]);
    assert_close(affine_of(&h), expected, 1e-7);
    // A half turn, whose vector part has length 1; nibabel again.
    h.set_f32s(at::PIXDIM, &[1.0]);
    h.set_f32s(at::QUATERN, &[0.0, 0.6, 0.8]);
    let expected = Affine([
        [-0.5, 0.0, 0.0, -10.0],
        [0.0, -0.209_999_982_834, 2.880_000_020_028, 20.0],
        [0.0, 0.720_000_005_007, 0.839_999_931_335, 5.5],
    ]);
    assert_close(affine_of(&h), expected, 1e-6);
}

#[test]
fn forms_by_the_standards_order() {
    let mut h = header([4, 5, 6], 2);
    h.set_f32s(at::PIXDIM, &[1.0, 2.0, 3.0, 4.0]);
    h.set_f32s(at::QUATERN, &[0.0, 0.0, 0.0, 7.0, 8.0, 9.0]);
    h.set_f32s(at::SROW, &[5.0, 0.0, 0.0, 1.0, 0.0, 6.0, 0.0, 2.0, 0.0, 0.0, 7.0, 3.0]);
    let spacing_alone = Affine::from_spacing([2.0, 3.0, 4.0]);
    assert_eq!(affine_of(&h), spacing_alone);
    h.set_i16(at::QFORM_CODE, 1);
    let mut qform = spacing_alone;
    (0..3).for_each(|r| qform.0[r][3] = 7.0 + r as f64);
    assert_eq!(affine_of(&h), qform);
    h.set_i16(at::SFORM_CODE, 1);
    let sform = [[5.0, 0.0, 0.0, 1.0], [0.0, 6.0, 0.0, 2.0], [0.0, 0.0, 7.0, 3.0]];
    assert_eq!(affine_of(&h), Affine(sform));
    // A form that maps voxels to no volume is passed over.
    h.set_f32s(at::SROW, &[0.0; 12]);
    assert_eq!(affine_of(&h), qform);
    h.set_f32s(at::QUATERN, &[f32::NAN]);
    assert_eq!(affine_of(&h), spacing_alone);
    // Metres.
    h.set_u8(at::XYZT_UNITS, 1 + 8);
    assert_eq!(affine_of(&h), Affine::from_spacing([2e3, 3e3, 4e3]));
}

#[test]
fn odd_spacing() {
    let mut h = header([4, 5, 1], 2);
    h.set_f32s(at::PIXDIM, &[1.0, -2.0, 3.0, 0.0]);
    // Lengths have no sign, and one slice needs no spacing.
    assert_eq!(affine_of(&h), Affine::from_spacing([2.0, 3.0, 1.0]));
    for bad in [0.0, f32::NAN, f32::INFINITY] {
        h.set_f32s(at::PIXDIM, &[1.0, bad]);
        let refused = Facts::read(&h, Path::new("x.nii"));
        assert!(matches!(refused, Err(Error::NiftiHeader { field: "pixdim[1]", .. })), "{bad}");
    }
}

pub(super) fn oblique() -> Affine {
    // A rotation of 30° about x, then 20° about z, and spacing.
    let (sx, cx) = 30_f64.to_radians().sin_cos();
    let (sz, cz) = 20_f64.to_radians().sin_cos();
    let [a, b, c] = [0.5, 0.625, 3.6];
    Affine([
        [cz * a, -sz * cx * b, sz * sx * c, -91.5],
        [sz * a, cz * cx * b, -cz * sx * c, 12.25],
        [0.0, sx * b, cx * c, 400.0],
    ])
}
