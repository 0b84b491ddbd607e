use super::*;
use crate::Error;
use crate::volumes::ReadOptions;
use crate::voxels::testing::{
    MaskFormat, Scratch, assert_itks, field_of, itk_bytes, itk_text, zlibbed,
};
use desam_core::Affine;

/// Header that SimpleITK 2.5.7 writes before `ElementDataFile` for the image of [`assert_itks`].
const ITK: &str = "ObjectType = Image\nNDims = 3\nBinaryData = True\n\
    BinaryDataByteOrderMSB = False\nCompressedData = False\n\
    TransformMatrix = 0.93969262078590843 0.34202014332566871 0 -0.29619813272602386 \
    0.8137976813493738 0.49999999999999994 0.17101007166283433 -0.46984631039295416 \
    0.86602540378443871\nOffset = -10.5 20.25 5\nCenterOfRotation = 0 0 0\n\
    AnatomicalOrientation = RAI\nElementSpacing = 0.5 0.75 3\nDimSize = 2 3 4\n\
    ElementType = MET_SHORT\n";

/// Masks of this format.
const MASKS: MaskFormat = MaskFormat {
    image: read_volume,
    like: write_mask_like,
    new_header: write_labels,
    read: read_labels,
    load: load_labels,
    expect_name: expect_writable_name,
};

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
    // A separate data file; a header of 5 bytes before it; the last bytes of the file.
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
        refused("BinaryData = True", "ElementNumberOfChannels = 0"),
        "ElementNumberOfChannels"
    );
    for name in ["LIST", "slice%03d.raw 1 3 1", ""] {
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
    let shown = ["NDims", "TransformMatrix", "Offset", "CenterOf", "ElementSpacing", "DimSize"];
    let lines = ITK.lines().filter(|l| shown.iter().any(|g| l.starts_with(g)));
    let names = ["like.mha", "like.mhd"].map(|n| scratch.path(n));
    let mask = MASKS.assert_in_place(&image, &names, &lines.collect::<Vec<_>>());
    assert!(scratch.path("like.zraw").exists());
    // The data of a mask would take the place of its image's.
    scratch.file("x.zraw", &zlibbed(&itk_bytes(false)));
    let header = format!("{}ElementDataFile = x.zraw\n", ITK.replace("sedData = F", "sedData = T"));
    let image = scratch.file("image.mhd", header.as_bytes());
    let refused = write_mask_like(&image, &scratch.path("x.mhd"), &mask);
    assert!(matches!(refused, Err(Error::Unwritable { .. })));
    assert_eq!(std::fs::read(scratch.path("x.zraw")).unwrap(), zlibbed(&itk_bytes(false)));
}

/// Files of one slice each, as SimpleITK 2.5.7 reads them: a list, and a pattern with its first and
/// last number and its step, all three of which may be left out.
#[test]
fn data_in_several_files() {
    let scratch = Scratch::new();
    let bytes = itk_bytes(false);
    let packed = ITK.replace("CompressedData = False", "CompressedData = True");
    for (k, slice) in bytes.chunks(12).enumerate() {
        scratch.file(&format!("s{:03}.raw", k + 1), slice);
        scratch.file(&format!("t{}.raw", 2 * k), &[&[9; 3][..], slice].concat());
        scratch.file(&format!("z {}.zraw", k + 1), &zlibbed(slice));
        for (j, row) in slice.chunks(4).enumerate() {
            scratch.file(&format!("r{k}{j}.raw"), row);
        }
    }
    let list = |names: Vec<String>| names.join("\n");
    let slices = list((1..=4).map(|k| format!("s{k:03}.raw")).collect());
    let (skipping, last) = (format!("{ITK}HeaderSize = 3\n"), format!("{ITK}HeaderSize = -1\n"));
    let rows = list((0..12).map(|n| format!("r{}{}.raw", n / 3, n % 3)).collect());
    for (header, data) in [
        (ITK, format!("LIST\n{slices}\n")),
        (ITK, format!("LIST 2D\n{slices}\n\n")),
        (ITK, format!("LIST\n{slices}\nnot/read.raw\n")),
        (ITK, format!("LIST 1\n{rows}\n")),
        (ITK, "s%03d.raw 1 4 1\n".to_owned()),
        (ITK, "s%03d.raw\n".to_owned()),
        (ITK, "s%03d.raw 1 99\n".to_owned()),
        (skipping.as_str(), "t%d.raw 0 6 2\n".to_owned()),
        (last.as_str(), "t%d.raw 0 6 2\n".to_owned()),
        (packed.as_str(), "z %d.zraw 1 4 1\n".to_owned()),
    ] {
        let path = scratch.file("a.mhd", format!("{header}ElementDataFile = {data}").as_bytes());
        assert_itks(&read_volume(&path).unwrap());
    }
    assert_eq!(files(&scratch.path("a.mhd"), &ReadOptions::default()).unwrap().len(), 5);
    for (data, says) in [
        ("LIST\ns001.raw\ns002.raw\n", "a list of 2 files"),
        ("s%03d.raw 1 3 1\n", "a pattern of 3 files"),
        ("s%03d.raw 1 4 0\n", "a pattern"),
        ("LIST 7\ns001.raw\n", "a list of 1 files"),
    ] {
        let path = scratch.file("a.mhd", format!("{ITK}ElementDataFile = {data}").as_bytes());
        let error = read_volume(&path).unwrap_err();
        assert!(error.to_string().contains(says), "{data}: {error}");
        assert_eq!(field_of(error, "a.mhd"), "ElementDataFile");
    }
    std::fs::write(scratch.path("s003.raw"), [1; 11]).unwrap();
    let path = scratch.file("a.mhd", format!("{ITK}ElementDataFile = s%03d.raw\n").as_bytes());
    let error = read_volume(&path).unwrap_err().to_string();
    assert!(error.contains("s003.raw") && error.contains("truncated"), "{error}");
}

#[test]
fn names_that_look_like_patterns_and_lists_are_names() {
    let scratch = Scratch::new();
    for name in ["T2 77 %.raw", "LISTE.raw", "LIST.raw", "LIST a.raw", "50%d.raw", "a%s.raw"] {
        scratch.file(name, &itk_bytes(false));
        let header = format!("{ITK}ElementDataFile = {name}\n");
        assert_itks(&read_volume(&scratch.file("a.mhd", header.as_bytes())).unwrap());
    }
}

/// SimpleITK 2.5.7 takes any % for a pattern, and names that start with LIST for lists: it then reads
/// something else, or ends with a fault.
#[test]
fn masks_get_no_names_that_itk_takes_for_others() {
    let scratch = Scratch::new();
    let image = scratch.file("a.mha", &local(ITK, &itk_bytes(false)));
    let paths = |names: [&str; 5]| names.map(|name| scratch.path(name));
    let refused = paths(["mask 50%d.mhd", "50 %.mhd", "LISTE.mhd", " a.mhd", "a\n.mhd"]);
    let written = paths(["mask 50%d.mha", "LISTE.mha", "a b.mhd", "list.mhd", "ä=#.mhd"]);
    MASKS.assert_names(&image, &refused, &written);
}

#[test]
fn channels_side_by_side_and_as_a_fourth_axis() {
    let scratch = Scratch::new();
    let head = "NDims = 3\nDimSize = 2 1 3\nElementType = MET_UCHAR\nElementNumberOfChannels = 2\n";
    let side_by_side =
        scratch.file("a.mha", &local(head, &[0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15]));
    let head = "NDims = 4\nDimSize = 2 1 3 2\nElementType = MET_UCHAR\nElementSpacing = 1 1 2 1\n";
    let fourth = scratch.file("b.mha", &local(head, &[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]));
    for path in [side_by_side, fourth] {
        MASKS.assert_second_channel(&path, &scratch.path("m.mha"));
    }
}

#[test]
fn data_outside_the_folder_are_asked_for() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("sub")).unwrap();
    scratch.file("a.raw", &itk_bytes(false));
    let header = format!("{ITK}ElementDataFile = ../a.raw\n");
    let path = scratch.file("sub/a.mhd", header.as_bytes());
    assert!(matches!(read_volume(&path), Err(Error::OutsideFolder { .. })));
    assert!(matches!(files(&path, &ReadOptions::default()), Err(Error::OutsideFolder { .. })));
    let options = ReadOptions::default().with_follow_outside(true);
    assert_itks(&load_volume(&path, &options).unwrap().value);
}
