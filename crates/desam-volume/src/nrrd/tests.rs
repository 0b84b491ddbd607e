use super::*;
use crate::Error;
use crate::volumes::ReadOptions;
use crate::voxels::testing::{
    MaskFormat, Scratch, assert_itks, field_of, gzipped, itk_bytes, itk_text,
};
use desam_core::{Affine, ClassTable, LabelVolume};

/// File that SimpleITK 2.5.7 writes for the image of [`assert_itks`].
const ITK: &str = "NRRD0004\n# Complete NRRD file format specification at:\n\
    # http://teem.sourceforge.net/nrrd/format.html\ntype: short\ndimension: 3\n\
    space: left-posterior-superior\nsizes: 2 3 4\nspace directions: \
    (0.46984631039295421,0.17101007166283436,0) \
    (-0.22214859954451788,0.61034826101203032,0.37499999999999994) \
    (0.51303021498850299,-1.4095389311788624,2.598076211353316)\nkinds: domain domain domain\n\
    endian: little\nencoding: raw\nspace origin: (-10.5,20.25,5)\n";

/// Masks of this format.
const MASKS: MaskFormat = MaskFormat {
    image: read_volume,
    like: |image, out, mask| write_mask_like(image, out, mask, &ClassTable::default()),
    new_header: |out, labels| write_labels(out, labels, &ClassTable::default()),
    read: read_labels,
    load: load_labels,
    expect_name: expect_writable_name,
};

fn local(header: &str, voxels: &[u8]) -> Vec<u8> {
    [header.as_bytes(), b"\n", voxels].concat()
}

#[test]
fn itks_files() {
    let scratch = Scratch::new();
    assert_itks(&read_volume(&scratch.file("a.nrrd", &local(ITK, &itk_bytes(false)))).unwrap());
    for name in ["gzip", "gz"] {
        let header = ITK.replace("raw", name);
        let path = scratch.file("b.nrrd", &local(&header, &gzipped(&itk_bytes(false))));
        assert_itks(&read_volume(&path).unwrap());
    }
    scratch.file("a.raw", &itk_bytes(false));
    // A detached header may end without an empty line.
    for end in ["", "\n", "\n what follows is not looked at"] {
        for field in ["data file", "datafile"] {
            let header = format!("{ITK}{field}: a.raw\r\n{end}");
            assert_itks(&read_volume(&scratch.file("A.NHDR", header.as_bytes())).unwrap());
        }
    }
}

#[test]
fn what_comes_before_the_voxels_is_skipped() {
    let scratch = Scratch::new();
    let path = |name: &str, header: String| scratch.file(name, header.as_bytes());
    scratch.file("lines.raw", &[b"one\ntwo\nabc", &itk_bytes(false)[..]].concat());
    let plain = format!("{ITK}line skip: 2\nbyte skip: 3\ndata file: lines.raw\n");
    assert_itks(&read_volume(&path("a.nhdr", plain)).unwrap());
    let last = format!("{ITK}byte skip: -1\ndata file: lines.raw\n");
    assert_itks(&read_volume(&path("b.nhdr", last)).unwrap());
    // Lines are skipped before unpacking, bytes after it.
    let packed = gzipped(&[b"abc", &itk_bytes(false)[..]].concat());
    scratch.file("lines.gz", &[b"one\n", &packed[..]].concat());
    let skips = "line skip: 1\nbyte skip: 3\ndata file: lines.gz\n";
    assert_itks(&read_volume(&path("c.nhdr", ITK.replace("raw", "gzip") + skips)).unwrap());
    let far = format!("{ITK}line skip: 9\ndata file: lines.raw\n");
    let error = read_volume(&path("d.nhdr", far)).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
}

#[test]
fn other_spellings() {
    let scratch = Scratch::new();
    let big = itk_bytes(true);
    let path = scratch.file("a.nrrd", &local(&ITK.replace("little", "big"), &big));
    assert_itks(&read_volume(&path).unwrap());
    for name in ["ascii", "text", "txt"] {
        let header = ITK.replace("raw", name);
        let path = scratch.file("a.nrrd", &local(&header, itk_text("\n").as_bytes()));
        assert_itks(&read_volume(&path).unwrap());
    }
    for (from, to) in [
        ("left-posterior-superior", "LPS"),
        (
            "(0.46984631039295421,0.17101007166283436,0)",
            "(0.46984631039295421, 0.17101007166283436, 0)",
        ),
        ("kinds: domain", "key:=value: of another program\nkinds: domain"),
        ("space origin", "space units: \"mm\" \"mm\" \"mm\"\nspace origin"),
        // An axis that is not in space.
        (
            "dimension: 3\nspace: left-posterior-superior\nsizes: 2 3 4\nspace directions: (",
            "dimension: 4\nspace: left-posterior-superior\nsizes: 1 2 3 4\nspace directions: none (",
        ),
    ] {
        let header = ITK.replace(from, to);
        assert_ne!(header, ITK, "{from}");
        let path = scratch.file("a.nrrd", &local(&header, &itk_bytes(false)));
        assert_itks(&read_volume(&path).unwrap());
    }
}

/// Affines of SimpleITK 2.5.7, through NIfTI to nibabel 5.4.2.
#[test]
fn spaces_are_brought_to_ras() {
    let scratch = Scratch::new();
    let of = |geometry: &str| {
        let header = format!(
            "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 1 1\n{geometry}\nencoding: raw\n"
        );
        let path = scratch.file("a.nrrd", &local(&header, &[1, 2]));
        read_volume(&path).unwrap().grid().affine
    };
    let place = "space directions: (0,2,0) (3,0,0) (0,0,4)\nspace origin: (7,8,9)";
    let lps = [[0.0, -3.0, 0.0, -7.0], [-2.0, 0.0, 0.0, -8.0], [0.0, 0.0, 4.0, 9.0]];
    for (space, expected) in [
        (
            "right-anterior-superior",
            [[0.0, 3.0, 0.0, 7.0], [2.0, 0.0, 0.0, 8.0], [0.0, 0.0, 4.0, 9.0]],
        ),
        (
            "left-anterior-superior",
            [[0.0, -3.0, 0.0, -7.0], [2.0, 0.0, 0.0, 8.0], [0.0, 0.0, 4.0, 9.0]],
        ),
        ("left-posterior-superior", lps),
        ("scanner-xyz", lps),
    ] {
        assert_eq!(of(&format!("space: {space}\n{place}")), Affine(expected), "{space}");
    }
    let alone = [[-2.0, 0.0, 0.0, 0.0], [0.0, -3.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0]];
    assert_eq!(of("spacings: 2 3 4"), Affine(alone));
    // One voxel needs no spacing.
    let one = [[-2.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    assert_eq!(of("spacings: 2 nan nan"), Affine(one));
    let metres = of(&format!("space: RAS\nspace units: \"m\" \"m\" \"m\"\n{place}"));
    assert_eq!(metres.apply([0.0; 3]), [7e3, 8e3, 9e3]);
}

#[test]
fn headers_that_are_none() {
    let scratch = Scratch::new();
    let refused = |from: &str, to: &str| {
        let header = ITK.replace(from, to);
        assert_ne!(header, ITK, "{from}");
        let path = scratch.file("a.nrrd", &local(&header, &itk_bytes(false)));
        field_of(read_volume(&path).unwrap_err(), "a.nrrd")
    };
    assert_eq!(refused("NRRD0004", "NRRX0004"), "magic");
    assert_eq!(refused("type: short", "type: block"), "type");
    assert_eq!(refused("dimension: 3", "dimension: 2"), "dimension");
    assert_eq!(refused("dimension: 3", "dimension: 99"), "dimension");
    assert_eq!(refused("sizes: 2 3 4", "sizes: 2 3"), "sizes");
    assert_eq!(refused("sizes: 2 3 4", "sizes: 2 0 4"), "sizes");
    assert_eq!(refused("encoding: raw", "encoding: lzma"), "encoding");
    assert_eq!(refused("endian: little\n", ""), "endian");
    assert_eq!(refused("left-posterior", "upside-down"), "space");
    assert_eq!(refused("(0.46984631039295421,", "(nan,"), "space directions");
    assert_eq!(refused("(0.46984631039295421,", "0.46984631039295421,"), "space directions");
    assert_eq!(
        refused("0.37499999999999994) (", "0.37499999999999994) none ("),
        "space directions"
    );
    assert_eq!(refused("(-10.5,20.25,5)", "(-10.5,20.25)"), "space origin");
    assert_eq!(refused("encoding", "byte skip: -2\nencoding"), "byte skip");
    assert_eq!(refused("encoding", "line skip: two\nencoding"), "line skip");
    let error = read_volume(&scratch.file("a.nrrd", ITK.as_bytes())).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
    let word = local(&ITK.replace("raw", "text"), b"1 2 three");
    let error = read_volume(&scratch.file("a.nrrd", &[word, vec![b' '; 99]].concat())).unwrap_err();
    assert!(matches!(error, Error::Header { field: "voxels", .. }), "{error}");
}

#[test]
fn promises_are_checked_before_memory_is_taken() {
    let scratch = Scratch::new();
    let header = ITK.replace("sizes: 2 3 4", "sizes: 4000000000 4000000000 4000000000");
    for (encoding, voxels) in [
        ("raw", itk_bytes(false)),
        ("gzip", gzipped(&itk_bytes(false))),
        ("text", b"1 2 3".to_vec()),
    ] {
        let content = local(&header.replace("raw", encoding), &voxels);
        let error = read_volume(&scratch.file("a.nrrd", &content)).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{encoding}: {error}");
    }
}

#[test]
fn masks_come_back_in_the_place_of_their_image() {
    let scratch = Scratch::new();
    let image = scratch.file("a.nrrd", &local(ITK, &itk_bytes(false)));
    let lines = ITK.lines().filter(|l| l.starts_with("s") || l.starts_with("kinds"));
    let names = ["like.nrrd", "like.nhdr"].map(|n| scratch.path(n));
    let mask = MASKS.assert_in_place(&image, &names, &lines.collect::<Vec<_>>());
    assert!(scratch.path("like.raw.gz").exists());
    scratch.file("x.raw.gz", &gzipped(&itk_bytes(false)));
    let header = format!("{}data file: x.raw.gz\n", ITK.replace("raw", "gzip"));
    let image = scratch.file("image.nhdr", header.as_bytes());
    let refused = (MASKS.like)(&image, &scratch.path("x.nhdr"), &mask);
    assert!(matches!(refused, Err(Error::Unwritable { .. })));
}

/// Files that Teem reads through SimpleITK 2.5.7: lists and patterns of slices or slabs.
#[test]
fn data_in_several_files() {
    let scratch = Scratch::new();
    let bytes = itk_bytes(false);
    for (k, slice) in bytes.chunks(12).enumerate() {
        scratch.file(&format!("s{:03}.raw", k + 1), slice);
        scratch.file(&format!("t{}.raw", 2 * k), &[b"HEAD", slice].concat());
        scratch.file(&format!("g{}.raw.gz", k + 1), &gzipped(slice));
    }
    for (n, slab) in bytes.chunks(24).enumerate() {
        scratch.file(&format!("v{n}.raw"), slab);
    }
    let slices = "s001.raw\ns002.raw\ns003.raw\ns004.raw\n";
    let skipping = format!("{ITK}byte skip: 4\n");
    let last = format!("{ITK}byte skip: -1\n");
    let gzip = ITK.replace("raw", "gzip");
    for (header, data) in [
        (ITK, format!("LIST\n{slices}")),
        (ITK, format!("LIST 2\n{slices}\n")),
        (ITK, "LIST 3\nv0.raw\nv1.raw\n".to_owned()),
        (ITK, "s%03d.raw 1 4 1\n".to_owned()),
        (ITK, "s%03d.raw 1 4 1 2\n".to_owned()),
        (ITK, "v%d.raw 0 1 1 3\n".to_owned()),
        (skipping.as_str(), "t%d.raw 0 6 2\n".to_owned()),
        (last.as_str(), "t%d.raw 0 7 2\n".to_owned()),
        (gzip.as_str(), "g%d.raw.gz 1 4 1\n".to_owned()),
    ] {
        let path = scratch.file("a.nhdr", format!("{header}data file: {data}").as_bytes());
        assert_itks(&read_volume(&path).unwrap());
    }
    let backwards = format!("{ITK}data file: s%03d.raw 4 1 -1\n");
    let path = scratch.file("a.nhdr", backwards.as_bytes());
    assert_eq!(read_volume(&path).unwrap().data()[..6], [13.0, 14.0, 15.0, 16.0, 17.0, 18.0]);
    for data in [
        "LIST\ns001.raw\n",
        "s%03d.raw 1 9 1\n",
        "s%03d.raw 1 4 0\n",
        "LIST 3\na\nb\nc\n",
        "LIST 9\na\n",
    ] {
        let path = scratch.file("a.nhdr", format!("{ITK}data file: {data}").as_bytes());
        assert_eq!(field_of(read_volume(&path).unwrap_err(), "a.nhdr"), "data file", "{data}");
    }
    for name in ["T2 77 %.raw", "LISTE.raw", "50%d.raw", "a: b.raw", "a%d 1 2 3"] {
        scratch.file(name, &bytes);
        let header = format!("{ITK}data file: {name}\n");
        assert_itks(&read_volume(&scratch.file("a.nhdr", header.as_bytes())).unwrap());
    }
}

#[test]
fn hexadecimal_digits() {
    let scratch = Scratch::new();
    let digits: String = itk_bytes(false).iter().map(|b| format!("{b:02x}")).collect();
    let lines: Vec<&str> = [&digits[..35], &digits[35..]].into();
    let header = ITK.replace("raw", "hex");
    for text in [digits.clone(), digits.to_uppercase(), lines.join("\n ") + "\n"] {
        let path = scratch.file("a.nrrd", &local(&header, text.as_bytes()));
        assert_itks(&read_volume(&path).unwrap());
    }
    // Bytes are skipped as they stand in the file (Teem, through SimpleITK 2.5.7).
    let skipping = header.replace("encoding", "byte skip: 4\nencoding");
    let path = scratch.file("a.nrrd", &local(&skipping, format!("ABCD{digits}").as_bytes()));
    assert_itks(&read_volume(&path).unwrap());
    let path = scratch.file("a.nrrd", &local(&header, &digits.as_bytes()[1..]));
    assert!(matches!(read_volume(&path), Err(Error::Truncated { .. })));
    let path = scratch.file("a.nrrd", &local(&header, digits.replace('0', "g").as_bytes()));
    let error = read_volume(&path).unwrap_err().to_string();
    assert!(error.contains("'g' is no hexadecimal digit"), "{error}");
}

#[test]
fn bzip2_streams() {
    use std::io::Write;
    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }
    let scratch = Scratch::new();
    let bytes = itk_bytes(false);
    let (head, tail) = bytes.split_at(17);
    for (encoding, data) in [
        ("bzip2", packed(&bytes)),
        ("bz2", [packed(head), packed(tail)].concat()),
        ("bzip2", [packed(&bytes), b"more".to_vec()].concat()),
    ] {
        let path = scratch.file("a.nrrd", &local(&ITK.replace("raw", encoding), &data));
        assert_itks(&read_volume(&path).unwrap());
    }
    let header = ITK.replace("raw", "bzip2");
    let path = scratch.file("a.nrrd", &local(&header, &packed(head)));
    assert!(matches!(read_volume(&path), Err(Error::Truncated { .. })));
    let mut broken = packed(&bytes);
    broken[20] ^= 0x55;
    let path = scratch.file("a.nrrd", &local(&header, &broken));
    assert!(matches!(read_volume(&path), Err(Error::Io { .. } | Error::Truncated { .. })));
}

#[test]
fn channels_first_or_last() {
    let scratch = Scratch::new();
    let interleaved = [0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15];
    let planar = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15];
    let directions = "(1,0,0) (0,1,0) (0,0,3)";
    for (sizes, more, voxels) in [
        ("2 2 1 3", format!("space: LPS\nspace directions: none {directions}"), interleaved),
        ("2 1 3 2", format!("space: LPS\nspace directions: {directions} none"), planar),
        ("2 2 1 3", "kinds: vector domain domain domain".to_owned(), interleaved),
        ("2 1 3 2", "kinds: space space space list".to_owned(), planar),
    ] {
        let header =
            format!("NRRD0004\ntype: uint8\ndimension: 4\nsizes: {sizes}\n{more}\nencoding: raw\n");
        let path = scratch.file("a.nrrd", &local(&header, &voxels));
        MASKS.assert_second_channel(&path, &scratch.path("m.nrrd"));
    }
    // Four axes of which nothing says which are in space.
    let header = "NRRD0004\ntype: uint8\ndimension: 4\nsizes: 2 1 3 2\nencoding: raw\n";
    let header = header.replace("2 1 3 2", "2 2 3 2");
    let path = scratch.file("a.nrrd", &local(&header, &[0; 24]));
    assert_eq!(field_of(read_volume(&path).unwrap_err(), "a.nrrd"), "sizes");
}

#[test]
fn hostile_headers_end_soon() {
    let scratch = Scratch::new();
    scratch.file("small.raw", &[b'\n'; 64]);
    let skip = |lines: &str, file: &str| {
        let header = ITK.replace("encoding", &format!("line skip: {lines}\nencoding"));
        scratch.file("y.nhdr", format!("{header}data file: {file}\n").as_bytes())
    };
    let path = skip("4000000000", "small.raw");
    assert!(matches!(read_volume(&path), Err(Error::Truncated { .. })));
    let path = skip("4000000000", "/dev/zero");
    assert!(matches!(read_volume(&path), Err(Error::OutsideFolder { .. })));
    let followed = load_volume(&path, &ReadOptions::default().with_follow_outside(true));
    #[cfg(unix)]
    assert!(followed.unwrap_err().to_string().contains("a device"));
    #[cfg(not(unix))]
    assert!(followed.is_err());
}

#[test]
fn masks_get_no_names_that_teem_takes_for_others() {
    let scratch = Scratch::new();
    let image = scratch.file("a.nrrd", &local(ITK, &itk_bytes(false)));
    let refused = ["mask 50%d.nhdr", "a%03d.nhdr", "LISTE.nhdr", "a\n.nhdr"];
    let written = ["mask 50%d.nrrd", "50 %.nhdr", "a b.nhdr"];
    MASKS.assert_names(
        &image,
        &refused.map(|name| scratch.path(name)),
        &written.map(|name| scratch.path(name)),
    );
}

#[test]
fn several_classes_are_named_for_slicer() {
    let scratch = Scratch::new();
    let header = ITK.replace("NRRD0004", "NRRD0001");
    let image = scratch.file("a.nrrd", &local(&header, &itk_bytes(false)));
    let grid = *read_volume(&image).unwrap().grid();
    let mask = LabelVolume::new(grid, (0..24).map(|v| v % 3).collect()).unwrap();
    let classes = "tz=2,left pz=1".parse().unwrap();
    // The keys and their values as 3D Slicer's storage of segmentations reads them.
    let named = [
        "Segment0_ID:=Segment_1",
        "Segment0_Name:=tz",
        "Segment0_Color:=1.0000 0.6471 0.0000",
        "Segment0_Extent:=0 1 0 2 0 3",
        "Segment0_LabelValue:=2",
        "Segment0_Layer:=0",
        "Segment1_ID:=Segment_2",
        "Segment1_Name:=left pz",
        "Segment1_LabelValue:=1",
    ];
    for name in ["m.nrrd", "m.seg.nrrd", "m.nhdr"] {
        let out = scratch.path(name);
        for own in [true, false] {
            if own {
                write_mask_like(&image, &out, &mask, &classes).unwrap();
            } else {
                write_labels(&out, &mask, &classes).unwrap();
            }
            let bytes = std::fs::read(&out).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(named.iter().all(|line| text.lines().any(|l| l == *line)), "{text}");
            // Pairs are of version 2 and later.
            let magic = if own { "NRRD0002" } else { "NRRD0004" };
            assert_eq!(text.lines().next(), Some(magic));
            assert_eq!(read_labels(&out).unwrap().data(), mask.data());
        }
    }
    // One class needs no name.
    let out = scratch.path("one.nrrd");
    write_mask_like(&image, &out, &mask, &"prostate=1+2".parse().unwrap()).unwrap();
    let bytes = std::fs::read(&out).unwrap();
    assert!(bytes.starts_with(b"NRRD0001\n"));
    assert!(!String::from_utf8_lossy(&bytes).contains(":="));
}
