//! ITK's requirements on a header, in plain arithmetic (ITK 5.4, NiftiImageIO,
//! `SetImageIOOrientationFromNIfTI`): an sform whose directions, columns of length 1 in R, have
//! R·Rᵀ within 1e-4 of the identity, or else a qform.

use super::super::orientation::from_quaternion;
use super::forms::oblique;
use super::*;

/// Deviation of R·Rᵀ from the identity, in f32 as ITK computes it.
fn deviation(affine: &Affine) -> f32 {
    let spacing = affine.spacing();
    let r = affine.0.map(|row| [0, 1, 2].map(|c| (row[c] / spacing[c]) as f32));
    let mut worst = 0.0_f32;
    for p in 0..3 {
        for q in 0..3 {
            let product: f32 = (0..3).map(|c| r[p][c] * r[q][c]).sum();
            worst = worst.max((product - if p == q { 1.0 } else { 0.0 }).abs());
        }
    }
    worst
}

fn sform_of(h: &RawHeader) -> Affine {
    let rows: [f64; 12] = h.numbers(Field::Srow);
    Affine([0, 1, 2].map(|r| std::array::from_fn(|c| rows[4 * r + c])))
}

fn qform_of(h: &RawHeader) -> Affine {
    let pixdim: [f64; 4] = h.numbers(Field::Pixdim);
    from_quaternion(h.numbers(Field::Quaternion), [pixdim[1], pixdim[2], pixdim[3]], pixdim[0])
}

/// Fails unless ITK reads the header, and as something close to `expected`.
#[track_caller]
fn assert_itk_reads(h: &RawHeader, expected: &Affine, tolerance_mm: f64) {
    let sform = sform_of(h);
    let by_sform = h.get(Field::SformCode, 0) > 0.0 && deviation(&sform) <= 1e-4;
    let qform = qform_of(h);
    assert!(by_sform || h.get(Field::QformCode, 0) > 0.0, "neither form can be read");
    assert!(h.get(Field::QformCode, 0) <= 0.0 || deviation(&qform) <= 1e-4, "{qform:?}");
    let taken = if by_sform { sform } else { qform };
    assert_close(taken, *expected, tolerance_mm);
}

/// Positions rounded to one or two decimals shear an affine: the third column points slightly off
/// the normal.
fn sheared(by: f64) -> Affine {
    let mut affine = oblique();
    affine.0[0][2] += by;
    affine.0[1][2] -= 0.5 * by;
    affine
}

fn written(affine: Affine) -> RawHeader {
    let scratch = Scratch::new();
    let out = scratch.path("a.nii");
    let grid = Grid { dims: [2, 3, 4], affine };
    write_labels(&out, &LabelVolume::new(grid, vec![1; 24]).unwrap()).unwrap();
    header_of(&std::fs::read(&out).unwrap())
}

#[test]
fn itk_reads_what_is_written() {
    let mirrored = |mut affine: Affine| {
        affine.0.iter_mut().for_each(|row| row[1] = -row[1]);
        affine
    };
    for by in [0.0, 1e-4, 5e-4, 0.005, 0.05, 0.3] {
        for affine in [sheared(by), mirrored(sheared(by))] {
            let h = written(affine);
            // The rotation is off by no more than the shear itself.
            assert_itk_reads(&h, &affine, by.max(1e-5) * 1.2);
            // Readers that take the sform read the affine as it is.
            assert_close(sform_of(&h), affine, 1e-4);
        }
    }
}

#[test]
fn the_nearest_rotation_is_nibabels() {
    let h =
        written(Affine([[0.5, 0.1, 0.3, -10.0], [-0.05, 0.6, 0.2, 20.0], [0.02, -0.1, 3.0, 5.0]]));
    // nibabel 5.4.2: Nifti1Header.set_qform of the same affine with strip_shears=True, get_qform.
    let expected = Affine([
        [0.497_982, 0.082_502, 0.117_724, -10.0],
        [-0.069_160, 0.606_353, 0.351_735, 20.0],
        [-0.011_438, -0.074_361, 2.998_737, 5.0],
    ]);
    assert_close(qform_of(&h), expected, 1e-5);
}

#[test]
fn a_mask_of_an_image_that_itk_refuses_is_one_that_it_reads() {
    let scratch = Scratch::new();
    let write = |affine: Affine, codes: [i16; 2]| {
        let mut h = header([2, 2, 1], 2);
        h.set_i16(at::QFORM_CODE, codes[0]);
        h.set_i16(at::SFORM_CODE, codes[1]);
        let spacing = affine.spacing().map(|s| s as f32);
        h.set_f32s(at::PIXDIM, &[&[1.0], &spacing[..]].concat());
        h.set_f32s(
            at::SROW,
            &affine.0.as_flattened().iter().map(|v| *v as f32).collect::<Vec<_>>(),
        );
        let reference = scratch.file("ref.nii", &file_bytes(&h, &[1, 2, 3, 4]));
        let grid = *read_volume(&reference).unwrap().grid();
        let mask = LabelVolume::new(grid, vec![0, 1, 1, 0]).unwrap();
        let out = scratch.path("mask.nii");
        write_mask_like(&reference, &out, &mask).unwrap();
        assert_eq!(read_labels(&out).unwrap(), mask);
        (h, header_of(&std::fs::read(&out).unwrap()))
    };
    // Sheared, and no qform: it gets one, and the sform stays.
    let (image, mask) = write(sheared(0.05), [0, 2]);
    assert!(deviation(&sform_of(&image)) > 1e-4);
    assert_itk_reads(&mask, &sheared(0.05), 0.06);
    assert_eq!(sform_of(&mask), sform_of(&image));
    assert_eq!((mask.get(Field::QformCode, 0), mask.get(Field::SformCode, 0)), (1.0, 2.0));
    // Orthogonal: codes stay as they are.
    let (_, mask) = write(oblique(), [0, 2]);
    assert_eq!((mask.get(Field::QformCode, 0), mask.get(Field::SformCode, 0)), (0.0, 2.0));
    assert_itk_reads(&mask, &oblique(), 1e-4);
}

#[test]
fn a_map_lies_where_its_mask_does() {
    let scratch = Scratch::new();
    // No codes: ITK takes LPS, nibabel LAS about the middle; a map with codes would lie elsewhere.
    let little = file_bytes(&header([2, 2, 1], 2), &[1, 2, 3, 4]);
    for bytes in [little.clone(), swapped(&little, 1)] {
        let reference = scratch.file("ref.nii", &bytes);
        let grid = *read_volume(&reference).unwrap().grid();
        let map = Volume::new(grid, vec![0.25, 0.5, 0.75, 1.0]).unwrap();
        let out = scratch.path("map.nii.gz");
        write_volume_like(&reference, &out, &map).unwrap();
        let back = load_volume(&out, &Default::default()).unwrap();
        assert_eq!(back.value, map);
        assert!(back.itk_affine.is_some());
    }
}
