use super::*;

pub(super) fn affine_of(h: &RawHeader) -> Affine {
    HeaderInfo::read(h, Path::new("test.nii"), false).unwrap().grid.affine
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
    // An sform that maps voxels to no volume gives way to the qform; where no form that a header
    // states can be used, the spacing alone would place the volume wrongly.
    h.set_f32s(at::SROW, &[0.0; 12]);
    assert_eq!(affine_of(&h), qform);
    let refused = |h: &_| HeaderInfo::read(h, Path::new("x.nii"), false).unwrap_err().to_string();
    h.set_i16(at::QFORM_CODE, 0);
    let error = refused(&h);
    assert!(error.contains("srow_x") && error.contains("can be inverted"), "{error}");
    h.set_i16(at::QFORM_CODE, 1);
    h.set_f32s(at::QUATERN, &[f32::NAN]);
    let error = refused(&h);
    assert!(error.contains("qform") && error.contains("can be inverted"), "{error}");
    h.set_i16(at::QFORM_CODE, 0);
    h.set_i16(at::SFORM_CODE, 0);
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
        let refused = HeaderInfo::read(&h, Path::new("x.nii"), false);
        assert!(matches!(refused, Err(Error::Header { field: "pixdim[1]", .. })), "{bad}");
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

#[test]
fn pairs_by_either_name() {
    let scratch = Scratch::new();
    let mut h = header([2, 2, 1], 4);
    h.set_text(at::MAGIC, 4, "ni1");
    h.set_f32s(at::VOX_OFFSET, &[0.0]);
    h.set_f32s(at::SCL_SLOPE, &[0.0, 9.0]);
    let voxels: Vec<u8> = [5_i16, -6, 7, 8].iter().flat_map(|v| v.to_le_bytes()).collect();
    let expected = [5.0, -6.0, 7.0, 8.0];
    for (header, image) in [("a.hdr", "a.img"), ("B.HDR", "B.IMG"), ("c.hdr.gz", "c.img.gz")] {
        let wrap = |b: &[u8]| if header.ends_with("gz") { packed(b) } else { b.to_vec() };
        let paths = [scratch.file(header, &wrap(h.bytes())), scratch.file(image, &wrap(&voxels))];
        for path in paths {
            assert_eq!(read_volume(&path).unwrap().data(), expected, "{}", path.display());
        }
    }
    // The voxels may start later, and one file may be packed where the other is not.
    h.set_f32s(at::VOX_OFFSET, &[3.0]);
    let path = scratch.file("d.hdr", h.bytes());
    scratch.file("d.img.gz", &packed(&[&[1, 2, 3], &voxels[..]].concat()));
    assert_eq!(read_volume(&path).unwrap().data(), expected);
    let lonely = scratch.file("e.hdr", h.bytes());
    let error = read_volume(&lonely).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("e.img"), "{error}");
    let short = scratch.file("f.hdr", h.bytes());
    scratch.file("f.img", &voxels);
    let error = read_volume(&short).unwrap_err();
    assert!(matches!(error, Error::Truncated { expected: 11, found: 8, .. }), "{error}");
    // A header and its voxels in one file, whatever its name.
    let single = file_bytes(&header([1, 1, 1], 2), &[4]);
    assert_eq!(read_volume(&scratch.file("g.hdr", &single)).unwrap().data(), [4.0]);
}

#[test]
fn masks_of_pairs_are_pairs() {
    let scratch = Scratch::new();
    let mut h = header([2, 2, 1], 2);
    h.set_text(at::MAGIC, 4, "ni1");
    h.set_f32s(at::VOX_OFFSET, &[0.0]);
    let image = scratch.file("a.hdr", h.bytes());
    scratch.file("a.img", &[1, 2, 3, 4]);
    let grid = *read_volume(&image).unwrap().grid();
    let mask = LabelVolume::new(grid, vec![0, 1, 1, 0]).unwrap();
    for (name, other) in [("m.hdr", "m.img"), ("n.img", "n.hdr"), ("o.hdr.gz", "o.img.gz")] {
        write_mask_like(&image, &scratch.path(name), &mask).unwrap();
        assert!(scratch.path(name).exists() && scratch.path(other).exists());
        assert_eq!(read_labels(&scratch.path(name)).unwrap(), mask, "{name}");
    }
    write_mask_like(&image, &scratch.path("single.nii.gz"), &mask).unwrap();
    assert_eq!(read_labels(&scratch.path("single.nii.gz")).unwrap(), mask);
    for own in ["a.img", "a.hdr"] {
        let refused = write_mask_like(&image, &scratch.path(own), &mask);
        assert!(matches!(refused, Err(Error::Unwritable { .. })), "{own}");
    }
    assert_eq!(read_volume(&image).unwrap().data(), [1.0, 2.0, 3.0, 4.0]);
}
