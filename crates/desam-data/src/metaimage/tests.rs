use super::*;
use crate::Error;
use crate::voxels::testing::{Masks, Scratch, assert_itks, field_of, itk_bytes, itk_text, zlibbed};
use desam_core::Affine;

/// What SimpleITK 2.5.7 writes before `ElementDataFile` for the image of
/// [`assert_itks`].
const ITK: &str = "ObjectType = Image\nNDims = 3\nBinaryData = True\n\
    BinaryDataByteOrderMSB = False\nCompressedData = False\n\
    TransformMatrix = 0.93969262078590843 0.34202014332566871 0 -0.29619813272602386 \
    0.8137976813493738 0.49999999999999994 0.17101007166283433 -0.46984631039295416 \
    0.86602540378443871\nOffset = -10.5 20.25 5\nCenterOfRotation = 0 0 0\n\
    AnatomicalOrientation = RAI\nElementSpacing = 0.5 0.75 3\nDimSize = 2 3 4\n\
    ElementType = MET_SHORT\n";

fn local(header: &str, voxels: &[u8]) -> Vec<u8> {
    [header.as_bytes(), b"ElementDataFile = LOCAL\n", voxels].concat()
}

#[test]
fn itks_files() {
    let scratch = Scratch::new();
    let plain = scratch.file("a.mha", &local(ITK, &itk_bytes(false)));
    assert_itks(&read_volume(&plain).unwrap());
    let packed = ITK.replace("CompressedData = False", "CompressedData = True");
    let path = scratch.file("b.mha", &local(&packed, &zlibbed(&itk_bytes(false))));
    assert_itks(&read_volume(&path).unwrap());
    // Data of its own; a header of 5 bytes before it; the last bytes of the file.
    scratch.file("a.raw", &itk_bytes(false));
    scratch.file("b.raw", &[&[9; 5][..], &itk_bytes(false)].concat());
    for (skip, name) in
        [("", "a.raw"), ("HeaderSize = 5\n", "b.raw"), ("HeaderSize = -1\n", "b.raw")]
    {
        let header = format!("{ITK}{skip}ElementDataFile = {name}\r\n");
        assert_itks(&read_volume(&scratch.file("A.MHD", header.as_bytes())).unwrap());
    }
    scratch.file("a.zraw", &zlibbed(&itk_bytes(false)));
    let header = format!("{packed}ElementDataFile = a.zraw\n");
    assert_itks(&read_volume(&scratch.file("c.mhd", header.as_bytes())).unwrap());
}

#[test]
fn other_spellings() {
    let scratch = Scratch::new();
    let big = itk_bytes(true);
    for (from, to) in [
        ("BinaryDataByteOrderMSB = False", "ElementByteOrderMSB = True"),
        ("BinaryDataByteOrderMSB = False", "BinaryDataByteOrderMSB = true"),
    ] {
        let path = scratch.file("a.mha", &local(&ITK.replace(from, to), &big));
        assert_itks(&read_volume(&path).unwrap());
    }
    for (from, to) in [
        ("TransformMatrix", "Rotation"),
        ("TransformMatrix", "Orientation"),
        ("Offset", "Position"),
        ("Offset", "Origin"),
        ("ElementSpacing", "ElementSize"),
        (" = ", "="),
        ("NDims", "ndims"),
    ] {
        let path = scratch.file("a.mha", &local(&ITK.replace(from, to), &itk_bytes(false)));
        assert_itks(&read_volume(&path).unwrap());
    }
    let header = ITK.replace("BinaryData = True", "BinaryData = False");
    let path = scratch.file("a.mha", &local(&header, itk_text(" ").as_bytes()));
    assert_itks(&read_volume(&path).unwrap());
}

#[test]
fn every_type_of_voxel() {
    let scratch = Scratch::new();
    let read = |name: &str, voxels: &[u8]| {
        let header = format!("NDims = 3\nDimSize = 2 1 1\nElementType = {name}\n");
        read_volume(&scratch.file("a.mha", &local(&header, voxels))).unwrap()
    };
    macro_rules! check {
        ($name:literal, $type:ty, $values:expr) => {
            let values: [$type; 2] = $values;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(read($name, &bytes).data(), values.map(|v| v as f32), $name);
        };
    }
    check!("MET_CHAR", i8, [-7, 120]);
    check!("MET_UCHAR", u8, [7, 250]);
    check!("MET_SHORT", i16, [-3000, 5]);
    check!("MET_USHORT", u16, [65_000, 5]);
    check!("MET_INT", i32, [-70_000, 5]);
    check!("MET_UINT", u32, [3_000_000_000, 5]);
    // Four bytes: SimpleITK 2.5.7 reads MET_LONG as a 32-bit integer.
    check!("MET_LONG", i32, [-70_000, 5]);
    check!("MET_ULONG", u32, [3_000_000_000, 5]);
    check!("MET_LONG_LONG", i64, [-5_000_000_000, 5]);
    check!("MET_ULONG_LONG", u64, [10_000_000_000, 5]);
    check!("MET_FLOAT", f32, [-0.5, 1e20]);
    check!("MET_DOUBLE", f64, [-0.25, 3.5]);
    // Without directions the axes point to L, P and S, 1 mm apart.
    let affine = Affine([[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
    assert_eq!(read("MET_UCHAR", &[1, 2]).grid().affine, affine);
}

#[test]
fn a_rotation_is_read_by_rows() {
    let scratch = Scratch::new();
    let header = "NDims = 3\nTransformMatrix = 0 1 0 0 0 1 1 0 0\nOffset = 1 2 3\n\
                  ElementSpacing = 2 3 4\nDimSize = 2 1 1\nElementType = MET_UCHAR\n";
    let volume = read_volume(&scratch.file("a.mha", &local(header, &[1, 2]))).unwrap();
    // SimpleITK 2.5.7 to NIfTI, read by nibabel 5.4.2.
    let expected = [[0.0, 0.0, -4.0, -1.0], [-2.0, 0.0, 0.0, -2.0], [0.0, 3.0, 0.0, 3.0]];
    assert_eq!(volume.grid().affine, Affine(expected));
}

#[test]
fn headers_that_are_none() {
    let scratch = Scratch::new();
    let refused = |from: &str, to: &str| {
        let header = ITK.replace(from, to);
        assert_ne!(header, ITK, "{from}");
        let path = scratch.file("a.mha", &local(&header, &itk_bytes(false)));
        field_of(read_volume(&path).unwrap_err(), "a.mha")
    };
    assert_eq!(refused("NDims = 3", "NDims = 2"), "NDims");
    assert_eq!(refused("NDims = 3", "NDims = 4"), "DimSize");
    assert_eq!(refused("DimSize = 2 3 4", "DimSize = 2 3"), "DimSize");
    assert_eq!(refused("DimSize = 2 3 4", "DimSize = 2 -3 4"), "DimSize");
    assert_eq!(refused("DimSize = 2 3 4", "DimSize = 2 3 1e12"), "DimSize");
    assert_eq!(refused("MET_SHORT", "MET_STRING"), "ElementType");
    assert_eq!(refused("Offset = -10.5", "Offset = nan"), "Offset");
    assert_eq!(refused("0.93969262078590843", "left"), "TransformMatrix");
    assert_eq!(refused("ElementSpacing = 0.5", "ElementSpacing = 0"), "TransformMatrix");
    assert_eq!(refused("CompressedData = False", "CompressedData = maybe"), "CompressedData");
    assert_eq!(
        refused("BinaryData = True", "ElementNumberOfChannels = 3"),
        "ElementNumberOfChannels"
    );
    for name in ["LIST", "slice%03d.raw 1 9 1", ""] {
        let header = format!("{ITK}ElementDataFile = {name}\n");
        let error = read_volume(&scratch.file("a.mhd", header.as_bytes())).unwrap_err();
        assert!(matches!(error, Error::Header { field: "ElementDataFile", .. }), "{error}");
    }
    let error = read_volume(&scratch.file("a.mha", b"\x89PNG\r\n\x1a\n")).unwrap_err();
    assert!(matches!(error, Error::Header { field: "header", .. }), "{error}");
    let error = read_volume(&scratch.file("a.mha", ITK.as_bytes())).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
    let header = format!("{ITK}ElementDataFile = nowhere.raw\n");
    let error = read_volume(&scratch.file("a.mhd", header.as_bytes())).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("nowhere.raw"));
    let error = read_labels(&scratch.file("a.mha", &local(ITK, &itk_bytes(false)))).unwrap_err();
    assert!(matches!(error, Error::NotALabel { voxel: [0, 0, 0], .. }), "{error}");
}

#[test]
fn promises_are_checked_before_memory_is_taken() {
    let scratch = Scratch::new();
    let header = ITK.replace("DimSize = 2 3 4", "DimSize = 4000000000 4000000000 4000000000");
    for (name, content) in [
        ("a.mha", local(&header, &itk_bytes(false))),
        (
            "b.mha",
            local(
                &header.replace("sedData = False", "sedData = True"),
                &zlibbed(&itk_bytes(false)),
            ),
        ),
        ("c.mha", local(&header.replace("BinaryData = True", "BinaryData = False"), b"1 2 3")),
    ] {
        let error = read_volume(&scratch.file(name, &content)).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{name}: {error}");
    }
}

#[test]
fn masks_come_back_in_the_place_of_their_image() {
    let scratch = Scratch::new();
    let image = scratch.file("a.mha", &local(ITK, &itk_bytes(false)));
    let masks =
        Masks { image: read_volume, like: write_mask_like, anew: write_labels, read: read_labels };
    let shown = ["NDims", "TransformMatrix", "Offset", "CenterOf", "ElementSpacing", "DimSize"];
    let lines = ITK.lines().filter(|l| shown.iter().any(|g| l.starts_with(g)));
    let names = ["like.mha", "like.mhd"].map(|n| scratch.path(n));
    let mask = masks.assert_in_place(&image, &names, &lines.collect::<Vec<_>>());
    assert!(scratch.path("like.zraw").exists());
    // The data of a mask would take the place of its image's.
    scratch.file("x.zraw", &zlibbed(&itk_bytes(false)));
    let header = format!("{}ElementDataFile = x.zraw\n", ITK.replace("sedData = F", "sedData = T"));
    let image = scratch.file("image.mhd", header.as_bytes());
    let refused = write_mask_like(&image, &scratch.path("x.mhd"), &mask);
    assert!(matches!(refused, Err(Error::Unwritable { .. })));
    assert_eq!(std::fs::read(scratch.path("x.zraw")).unwrap(), zlibbed(&itk_bytes(false)));
}
