use super::*;

#[test]
fn headers_that_are_none() {
    let scratch = Scratch::new();
    let refused = |h: &RawHeader| {
        let error = read_volume(&scratch.file("a.nii", &file_bytes(h, &[0; 64]))).unwrap_err();
        assert!(error.to_string().contains("a.nii"), "{error}");
        match error {
            Error::Header { field, .. } => field,
            other => panic!("{other}"),
        }
    };
    let with = |change: &dyn Fn(&mut RawHeader)| {
        let mut h = header([2, 2, 2], 2);
        change(&mut h);
        refused(&h)
    };
    assert_eq!(with(&|h| h.set_text(at::MAGIC, 4, "ni1")), "magic");
    assert_eq!(with(&|h| h.set_i16(at::DATATYPE, 128)), "datatype");
    assert_eq!(with(&|h| h.set_i16(at::DIM, 1)), "dim[0]");
    assert_eq!(with(&|h| h.set_i16(at::DIM, 8)), "dim[0]");
    assert_eq!(with(&|h| h.set_i16(at::DIM, -3)), "dim[0]");
    assert_eq!(with(&|h| h.set_i16(at::DIM + 4, -2)), "dim[2]");
    assert_eq!(with(&|h| h.set_i16(at::DIM + 6, 0)), "dim[3]");
    assert_eq!(with(&|h| h.set_f32s(at::VOX_OFFSET, &[12.0])), "vox_offset");
    assert_eq!(with(&|h| h.set_f32s(at::VOX_OFFSET, &[f32::NAN])), "vox_offset");
    let negative = |h: &mut RawHeader| {
        h.set_i16(at::DIM, 4);
        h.set_i16(at::DIM + 8, -2);
    };
    assert_eq!(with(&negative), "dim[4]");
    assert_eq!(with(&|h| h.put(0, &[0; 4])), "sizeof_hdr");
}

#[test]
fn truncated_files_say_so() {
    let scratch = Scratch::new();
    let whole = file_bytes(&header([8, 8, 8], 16), &[1; 2048]);
    let gz = packed(&whole);
    for cut in [0, 1, 3, 4, 347, 348, 351, 352, 353, 2399] {
        let error = read_volume(&scratch.file("a.nii", &whole[..cut])).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{cut}: {error}");
    }
    // Two bytes are needed to see that a file is packed.
    for cut in [2, 5, 10, 20, gz.len() / 2] {
        let error = read_volume(&scratch.file("a.nii.gz", &gz[..cut])).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{cut}: {error}");
    }
    // The voxels are there but the checksum is not: what they should have been is unknown.
    let error = read_volume(&scratch.file("a.nii.gz", &gz[..gz.len() - 3])).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn promises_are_checked_before_memory_is_taken() {
    // 32767³ f64 voxels are 281 TB: reserving them would abort the test.
    let scratch = Scratch::new();
    let bytes = file_bytes(&header([32_767; 3], 64), &[0; 64]);
    for (name, content) in [("a.nii", bytes.clone()), ("a.nii.gz", packed(&bytes))] {
        let error = read_volume(&scratch.file(name, &content)).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
    }
    let mut far = header([2, 2, 2], 2);
    far.set_f32s(at::VOX_OFFSET, &[9e11]);
    let error = read_labels(&scratch.file("a.nii", &file_bytes(&far, &[0; 64]))).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
}

#[test]
fn lengths_that_make_up_no_volume_are_refused() {
    let scratch = Scratch::new();
    for spacing in [[1e-38, 1.0, 1.0], [1e-30, 1e-30, 1.0], [3e38, 3e38, 3e38]] {
        let mut h = header([2, 2, 2], 2);
        h.set_f32s(at::PIXDIM, &[&[1.0], &spacing[..]].concat());
        let read = read_volume(&scratch.file("a.nii", &file_bytes(&h, &[1; 8])));
        match read {
            Err(error) => assert!(error.to_string().contains("pixdim"), "{error}"),
            Ok(volume) => assert!(volume.grid().affine.inverse().is_ok(), "{spacing:?}"),
        }
    }
}

#[test]
fn what_follows_the_voxels_is_tolerated() {
    let scratch = Scratch::new();
    let bytes = file_bytes(&header([2, 2, 1], 2), &[1, 2, 3, 4]);
    let garbage = b"some garbage".as_slice();
    let (head, tail) = bytes.split_at(200);
    for content in [
        [&bytes, garbage].concat(),
        packed(&[&bytes, garbage].concat()),
        [&packed(&bytes), garbage].concat(),
        [packed(&bytes), packed(garbage)].concat(),
        // Parallel packers write several members.
        [packed(head), packed(tail)].concat(),
    ] {
        let volume = read_volume(&scratch.file("a.nii.gz", &content)).unwrap();
        assert_eq!(volume.data(), [1.0, 2.0, 3.0, 4.0]);
    }
    // An extension before the voxels is skipped.
    let mut h = header([1, 1, 1], 2);
    h.set_f32s(at::VOX_OFFSET, &[368.0]);
    let bytes = file_bytes(&h, &[&[9; 16][..], &[5]].concat());
    assert_eq!(read_volume(&scratch.file("a.nii", &bytes)).unwrap().data(), [5.0]);
}

#[test]
fn a_flipped_bit_in_packed_voxels_is_seen() {
    let scratch = Scratch::new();
    let noise: Vec<u8> =
        (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut gz = packed(&file_bytes(&header([16, 16, 16], 2), &noise));
    let middle = gz.len() / 2;
    gz[middle] ^= 0x10;
    assert!(read_volume(&scratch.file("a.nii.gz", &gz)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_bytes_make_it_panic(
        flips in prop::collection::vec((0_usize..500, any::<u8>()), 1..12),
        keep in 0_usize..480,
        gz: bool,
    ) {
        let scratch = Scratch::new();
        let mut bytes = file_bytes(&header([4, 4, 4], 4), &[7; 128]);
        for (at, value) in flips {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        bytes.truncate(keep.max(300));
        let content = if gz { packed(&bytes) } else { bytes };
        let path = scratch.file("a.nii", &content);
        let voxels = |v: &Volume| (v.grid().len(), v.data().len());
        if let Ok(volume) = read_volume(&path) {
            let (expected, found) = voxels(&volume);
            prop_assert_eq!(expected, found);
            prop_assert!(volume.grid().affine.inverse().is_ok());
        }
        read_labels(&path).ok();
    }

    #[test]
    fn no_packing_makes_it_panic(at in 0_usize..400, value: u8) {
        let scratch = Scratch::new();
        let noise: Vec<u8> = (0..128_u32).map(|i| (i * i * 31) as u8).collect();
        let mut gz = packed(&file_bytes(&header([4, 4, 4], 4), &noise));
        let length = gz.len();
        gz[at % length] = value;
        read_volume(&scratch.file("a.nii.gz", &gz)).ok();
    }
}
