use super::*;
use crate::Error;
use crate::voxels::testing::{Scratch, itk_affine, itk_values, zlibbed};
use desam_core::{Affine, Grid};

/// What SimpleITK 2.5.7 writes before `ElementDataFile` for its values and place in
/// [`itk_values`] and [`itk_affine`].
const ITK: &str = "ObjectType = Image\nNDims = 3\nBinaryData = True\n\
    BinaryDataByteOrderMSB = False\nCompressedData = False\n\
    TransformMatrix = 0.93969262078590843 0.34202014332566871 0 -0.29619813272602386 \
    0.8137976813493738 0.49999999999999994 0.17101007166283433 -0.46984631039295416 \
    0.86602540378443871\nOffset = -10.5 20.25 5\nCenterOfRotation = 0 0 0\n\
    AnatomicalOrientation = RAI\nElementSpacing = 0.5 0.75 3\nDimSize = 2 3 4\n\
    ElementType = MET_SHORT\n";

fn little() -> Vec<u8> {
    itk_values().flat_map(i16::to_le_bytes).collect()
}

fn local(header: &str, voxels: &[u8]) -> Vec<u8> {
    [header.as_bytes(), b"ElementDataFile = LOCAL\n", voxels].concat()
}

#[track_caller]
fn assert_itks(volume: &Volume) {
    assert_eq!(volume.grid().dims, [2, 3, 4]);
    assert_eq!(volume.data(), itk_values().map(f32::from).collect::<Vec<_>>());
    for (f, e) in volume.grid().affine.0.iter().flatten().zip(itk_affine().0.iter().flatten()) {
        // The expected numbers went through NIfTI's f32.
        assert!((f - e).abs() < 1e-6, "{f} {e}");
    }
}

#[test]
fn itks_files() {
    let scratch = Scratch::new();
    let plain = scratch.file("a.mha", &local(ITK, &little()));
    assert_itks(&read_volume(&plain).unwrap());
    let packed = ITK.replace("CompressedData = False", "CompressedData = True");
    let path = scratch.file("b.mha", &local(&packed, &zlibbed(&little())));
    assert_itks(&read_volume(&path).unwrap());
    // Data of its own; a header of 5 bytes before it; the last bytes of the file.
    scratch.file("a.raw", &little());
    scratch.file("b.raw", &[&[9; 5][..], &little()].concat());
    for (skip, name) in
        [("", "a.raw"), ("HeaderSize = 5\n", "b.raw"), ("HeaderSize = -1\n", "b.raw")]
    {
        let header = format!("{ITK}{skip}ElementDataFile = {name}\r\n");
        assert_itks(&read_volume(&scratch.file("A.MHD", header.as_bytes())).unwrap());
    }
    scratch.file("a.zraw", &zlibbed(&little()));
    let header = format!("{packed}ElementDataFile = a.zraw\n");
    assert_itks(&read_volume(&scratch.file("c.mhd", header.as_bytes())).unwrap());
}

#[test]
fn other_spellings() {
    let scratch = Scratch::new();
    let big: Vec<u8> = itk_values().flat_map(i16::to_be_bytes).collect();
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
        let path = scratch.file("a.mha", &local(&ITK.replace(from, to), &little()));
        assert_itks(&read_volume(&path).unwrap());
    }
    let text: Vec<String> = itk_values().map(|v| v.to_string()).collect();
    let header = ITK.replace("BinaryData = True", "BinaryData = False");
    let path = scratch.file("a.mha", &local(&header, text.join(" ").as_bytes()));
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
        let error = read_volume(&scratch.file("a.mha", &local(&header, &little()))).unwrap_err();
        assert!(error.to_string().contains("a.mha"), "{error}");
        match error {
            Error::Header { field, .. } => field,
            other => panic!("{other}"),
        }
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
    let error = read_labels(&scratch.file("a.mha", &local(ITK, &little()))).unwrap_err();
    assert!(matches!(error, Error::NotALabel { voxel: [0, 0, 0], .. }), "{error}");
}

#[test]
fn promises_are_checked_before_memory_is_taken() {
    let scratch = Scratch::new();
    let header = ITK.replace("DimSize = 2 3 4", "DimSize = 4000000000 4000000000 4000000000");
    for (name, content) in [
        ("a.mha", local(&header, &little())),
        ("b.mha", local(&header.replace("sedData = False", "sedData = True"), &zlibbed(&little()))),
        ("c.mha", local(&header.replace("BinaryData = True", "BinaryData = False"), b"1 2 3")),
    ] {
        let error = read_volume(&scratch.file(name, &content)).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{name}: {error}");
    }
}

#[test]
fn masks_come_back_in_the_place_of_their_image() {
    let scratch = Scratch::new();
    let image = scratch.file("a.mha", &local(ITK, &little()));
    let grid = *read_volume(&image).unwrap().grid();
    let mask = LabelVolume::new(grid, (0..24).map(|v| u8::from(v % 5 == 0)).collect()).unwrap();
    for name in ["like.mha", "like.mhd"] {
        let out = scratch.path(name);
        write_mask_like(&image, &out, &mask).unwrap();
        assert_eq!(read_labels(&out).unwrap(), mask);
        let written = std::fs::read(&out).unwrap();
        let text = String::from_utf8_lossy(&written);
        for line in ITK.lines().filter(|l| GEOMETRY_SHOWN.iter().any(|g| l.starts_with(g))) {
            assert!(text.contains(line), "{line}");
        }
        write_labels(&out, &mask).unwrap();
        let back = read_labels(&out).unwrap();
        assert_eq!(back.data(), mask.data());
        assert!(back.grid().matches(&grid, 1e-12), "{back:?}");
    }
    assert!(scratch.path("like.zraw").exists());
    let moved = Grid { affine: Affine::from_spacing([1.0; 3]), ..grid };
    let moved = LabelVolume::new(moved, vec![0; 24]).unwrap();
    let refused = write_mask_like(&image, &scratch.path("no.mha"), &moved);
    assert!(matches!(refused, Err(Error::GridMismatch { .. })));
    // The data of a mask would take the place of its image's.
    scratch.file("x.zraw", &zlibbed(&little()));
    let header = format!("{}ElementDataFile = x.zraw\n", ITK.replace("sedData = F", "sedData = T"));
    let image = scratch.file("image.mhd", header.as_bytes());
    let refused = write_mask_like(&image, &scratch.path("x.mhd"), &mask);
    assert!(matches!(refused, Err(Error::Unwritable { .. })));
    assert_itks_start(&scratch.path("x.zraw"));
}

const GEOMETRY_SHOWN: [&str; 6] =
    ["NDims", "TransformMatrix", "Offset", "CenterOf", "ElementSpacing", "DimSize"];

fn assert_itks_start(path: &Path) {
    assert_eq!(std::fs::read(path).unwrap(), zlibbed(&little()));
}
