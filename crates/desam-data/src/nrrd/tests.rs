use super::*;
use crate::Error;
use crate::voxels::testing::{Scratch, gzipped, itk_affine, itk_values};
use desam_core::{Affine, Grid};

/// What SimpleITK 2.5.7 writes for its values and place in [`itk_values`] and [`itk_affine`].
const ITK: &str = "NRRD0004\n# Complete NRRD file format specification at:\n\
    # http://teem.sourceforge.net/nrrd/format.html\ntype: short\ndimension: 3\n\
    space: left-posterior-superior\nsizes: 2 3 4\nspace directions: \
    (0.46984631039295421,0.17101007166283436,0) \
    (-0.22214859954451788,0.61034826101203032,0.37499999999999994) \
    (0.51303021498850299,-1.4095389311788624,2.598076211353316)\nkinds: domain domain domain\n\
    endian: little\nencoding: raw\nspace origin: (-10.5,20.25,5)\n";

fn little() -> Vec<u8> {
    itk_values().flat_map(i16::to_le_bytes).collect()
}

fn local(header: &str, voxels: &[u8]) -> Vec<u8> {
    [header.as_bytes(), b"\n", voxels].concat()
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
    assert_itks(&read_volume(&scratch.file("a.nrrd", &local(ITK, &little()))).unwrap());
    for name in ["gzip", "gz"] {
        let header = ITK.replace("raw", name);
        let path = scratch.file("b.nrrd", &local(&header, &gzipped(&little())));
        assert_itks(&read_volume(&path).unwrap());
    }
    scratch.file("a.raw", &little());
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
    scratch.file("lines.raw", &[b"one\ntwo\nabc", &little()[..]].concat());
    let plain = format!("{ITK}line skip: 2\nbyte skip: 3\ndata file: lines.raw\n");
    assert_itks(&read_volume(&path("a.nhdr", plain)).unwrap());
    let last = format!("{ITK}byte skip: -1\ndata file: lines.raw\n");
    assert_itks(&read_volume(&path("b.nhdr", last)).unwrap());
    // Lines are skipped before unpacking, bytes after it.
    let packed = gzipped(&[b"abc", &little()[..]].concat());
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
    let big: Vec<u8> = itk_values().flat_map(i16::to_be_bytes).collect();
    let path = scratch.file("a.nrrd", &local(&ITK.replace("little", "big"), &big));
    assert_itks(&read_volume(&path).unwrap());
    let text: Vec<String> = itk_values().map(|v| v.to_string()).collect();
    for name in ["ascii", "text", "txt"] {
        let header = ITK.replace("raw", name);
        let path = scratch.file("a.nrrd", &local(&header, text.join("\n").as_bytes()));
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
        let path = scratch.file("a.nrrd", &local(&header, &little()));
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
        let error = read_volume(&scratch.file("a.nrrd", &local(&header, &little()))).unwrap_err();
        assert!(error.to_string().contains("a.nrrd"), "{error}");
        match error {
            Error::Header { field, .. } => field,
            other => panic!("{from}: {other}"),
        }
    };
    assert_eq!(refused("NRRD0004", "NRRX0004"), "magic");
    assert_eq!(refused("type: short", "type: block"), "type");
    assert_eq!(refused("dimension: 3", "dimension: 2"), "dimension");
    assert_eq!(refused("dimension: 3", "dimension: 99"), "dimension");
    assert_eq!(refused("sizes: 2 3 4", "sizes: 2 3"), "sizes");
    assert_eq!(refused("sizes: 2 3 4", "sizes: 2 0 4"), "sizes");
    assert_eq!(refused("encoding: raw", "encoding: bzip2"), "encoding");
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
    let colour = ITK
        .replace("dimension: 3", "dimension: 4")
        .replace("sizes: 2", "sizes: 3 2")
        .replace("directions: ", "directions: none ");
    let error = read_volume(&scratch.file("a.nrrd", &local(&colour, &little()))).unwrap_err();
    assert!(matches!(error, Error::Header { field: "sizes", .. }), "{error}");
    for name in ["LIST", "slice%03d.raw 1 9 1"] {
        let header = format!("{ITK}data file: {name}\n");
        let error = read_volume(&scratch.file("a.nhdr", header.as_bytes())).unwrap_err();
        assert!(matches!(error, Error::Header { field: "data file", .. }), "{error}");
    }
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
    for (encoding, voxels) in
        [("raw", little()), ("gzip", gzipped(&little())), ("text", b"1 2 3".to_vec())]
    {
        let content = local(&header.replace("raw", encoding), &voxels);
        let error = read_volume(&scratch.file("a.nrrd", &content)).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{encoding}: {error}");
    }
}

#[test]
fn masks_come_back_in_the_place_of_their_image() {
    let scratch = Scratch::new();
    let image = scratch.file("a.nrrd", &local(ITK, &little()));
    let grid = *read_volume(&image).unwrap().grid();
    let mask = LabelVolume::new(grid, (0..24).map(|v| u8::from(v % 5 == 0)).collect()).unwrap();
    for name in ["like.nrrd", "like.nhdr"] {
        let out = scratch.path(name);
        write_mask_like(&image, &out, &mask).unwrap();
        assert_eq!(read_labels(&out).unwrap(), mask);
        let written = std::fs::read(&out).unwrap();
        let text = String::from_utf8_lossy(&written);
        for line in ITK.lines().filter(|l| l.starts_with("s") || l.starts_with("kinds")) {
            assert!(text.contains(line), "{line}");
        }
        write_labels(&out, &mask).unwrap();
        let back = read_labels(&out).unwrap();
        assert_eq!(back.data(), mask.data());
        assert!(back.grid().matches(&grid, 1e-12), "{back:?}");
    }
    assert!(scratch.path("like.raw.gz").exists());
    let moved = Grid { affine: Affine::from_spacing([1.0; 3]), ..grid };
    let moved = LabelVolume::new(moved, vec![0; 24]).unwrap();
    let refused = write_mask_like(&image, &scratch.path("no.nrrd"), &moved);
    assert!(matches!(refused, Err(Error::GridMismatch { .. })));
    scratch.file("x.raw.gz", &gzipped(&little()));
    let header = format!("{}data file: x.raw.gz\n", ITK.replace("raw", "gzip"));
    let image = scratch.file("image.nhdr", header.as_bytes());
    let refused = write_mask_like(&image, &scratch.path("x.nhdr"), &mask);
    assert!(matches!(refused, Err(Error::Unwritable { .. })));
}
