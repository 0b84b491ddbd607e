use super::*;

#[test]
fn every_datatype_in_both_byte_orders() {
    macro_rules! case {
        ($code:literal, $type:ty, $values:expr) => {{
            let values: [$type; 2] = $values;
            let voxels: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            ($code, size_of::<$type>(), voxels, values.map(|v| v as f32))
        }};
    }
    let scratch = Scratch::new();
    for (code, width, voxels, expected) in [
        case!(2, u8, [0, 255]),
        case!(256, i8, [-128, 127]),
        case!(512, u16, [1, 65535]),
        case!(4, i16, [-32768, 32767]),
        case!(768, u32, [2, u32::MAX]),
        case!(8, i32, [-70_000, i32::MAX]),
        case!(1280, u64, [3, 1 << 40]),
        case!(1024, i64, [-(1 << 40), 5]),
        case!(16, f32, [-0.25, 1e30]),
        case!(64, f64, [0.1, -7e20]),
    ] {
        let little = file_bytes(&header([2, 1, 1], code), &voxels);
        for bytes in [little.clone(), swapped(&little, width), packed(&little)] {
            let volume = read_volume(&scratch.file("a.nii", &bytes)).unwrap();
            assert_eq!(volume.data(), expected, "datatype {code}");
            assert_eq!(volume.grid().dims, [2, 1, 1]);
        }
    }
}

#[test]
fn slope_and_intercept() {
    // The standard: a slope of 0 means unscaled; NaN is what several tools write for it.
    let scratch = Scratch::new();
    for (slope, inter, expected) in [
        (2.0, -1.0, 13.0),
        (0.0, 5.0, 7.0),
        (f32::NAN, f32::NAN, 7.0),
        (0.5, f32::NAN, 3.5),
        (f32::INFINITY, 0.0, 7.0),
    ] {
        let mut h = header([1, 1, 1], 2);
        h.set_f32s(at::SCL_SLOPE, &[slope, inter]);
        let volume = read_volume(&scratch.file("a.nii", &file_bytes(&h, &[7]))).unwrap();
        assert_eq!(volume.data(), [expected], "{slope} {inter}");
    }
}

#[test]
fn one_volume_in_four_dimensions() {
    let scratch = Scratch::new();
    let mut h = header([2, 1, 1], 2);
    h.set_i16(at::DIM, 5);
    h.set_i16(at::DIM + 8, 1);
    h.set_i16(at::DIM + 10, 1);
    let volume = read_volume(&scratch.file("a.nii", &file_bytes(&h, &[3, 4]))).unwrap();
    assert_eq!((volume.grid().dims, volume.data()), ([2, 1, 1], &[3.0, 4.0][..]));
}

#[test]
fn labels_are_whole_numbers() {
    let scratch = Scratch::new();
    let file = |values: [f32; 3]| {
        let voxels: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        scratch.file("a.nii", &file_bytes(&header([1, 3, 1], 16), &voxels))
    };
    assert_eq!(read_labels(&file([0.0, 2.000_01, 255.0])).unwrap().data(), [0, 2, 255]);
    for bad in [0.5, -1.0, 256.0, f32::NAN, f32::INFINITY] {
        let error = read_labels(&file([0.0, bad, 1.0])).unwrap_err();
        assert!(matches!(error, Error::NotALabel { voxel: [0, 1, 0], .. }), "{bad}: {error}");
    }
}

#[test]
fn names_of_either_case() {
    for (name, ours) in [
        ("a.nii", true),
        ("A.NII.GZ", true),
        ("dir/b.Nii", true),
        ("a.gz", false),
        ("a.mhd", false),
        ("", false),
    ] {
        assert_eq!(
            VolumeFormat::of_name(Path::new(name)) == Some(VolumeFormat::Nifti),
            ours,
            "{name}"
        );
    }
    let missing = read_volume(Path::new("no/such.nii")).unwrap_err().to_string();
    assert!(missing.contains("no/such.nii"), "{missing}");
}

#[test]
fn real_files_read_as_nibabel_reads_them() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real/ProstateX-0000");
    if !shared.exists() {
        println!("skipped: no real volumes beside the checkout");
        return;
    }
    let volume = read_volume(&shared.join("t2.nii.gz")).unwrap();
    // nibabel 5.4: affine, data.sum(), data[100, 200, 7].
    let expected = Affine([
        [
            -0.499_999_582_767_486_6,
            -1.035_323_909_936_991_5e-10,
            -0.003_770_590_759_813_785_6,
            57.685_436_248_779_3,
        ],
        [
            0.000_199_305_242_858_827_11,
            -0.474_188_208_580_017_1,
            -0.951_439_738_273_620_6,
            82.363_059_997_558_6,
        ],
        [
            -0.000_595_989_869_907_498_4,
            -0.158_573_418_855_667_11,
            2.845_127_105_712_890_6,
            -27.080_757_141_113_28,
        ],
    ]);
    assert_eq!(volume.grid().dims, [384, 384, 19]);
    assert_close(volume.grid().affine, expected, 1e-12);
    assert_eq!(volume.data().iter().map(|&v| f64::from(v)).sum::<f64>(), 621_204_627.0);
    assert_eq!(volume.slice(7).unwrap()[200 * 384 + 100], 47.0);
}
