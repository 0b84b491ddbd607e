//! Files of every format, broken in a thousand ways that the seed decides: each is an error or a
//! whole volume, never a panic, and never takes more memory than a multiple of the file's size.
//!
//! The multiple, also stated in `docs/decisions/untrusted-files.md`: 12 bytes of memory for each byte that the file
//! unpacks to (a byte a voxel becomes an `f32`, held three times over while room for it grows), and
//! a megabyte for buffers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod heap;
mod mutate;

use desam_core::{Affine, Grid, LabelVolume, Volume};
use desam_volume::volumes::ReadOptions;
use desam_volume::{Error, nifti, volumes};
use heap::CountingHeap;
use mutate::broken;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

/// Bytes of memory for each byte of content, and beside them.
const MULTIPLE: usize = 12;
const BUFFERS: usize = 1 << 20;
/// Broken files made of each good one.
const MUTANTS: usize = 60;

/// A good file: its name and bytes, what else lies beside it, and how much it unpacks to.
struct Good {
    name: &'static str,
    bytes: Vec<u8>,
    beside: Option<(&'static str, Vec<u8>)>,
    content: usize,
}

fn grid() -> Grid {
    let affine = Affine([[-0.5, 0.0, 0.1, 9.0], [0.0, -0.5, 0.0, 8.0], [0.1, 0.0, 3.0, 7.0]]);
    Grid { dims: [24, 20, 9], affine }
}

/// Voxels that packing cannot shrink much, so that a mutant cannot unpack to much more either.
fn noise(rng: &mut ChaCha8Rng) -> Vec<u8> {
    (0..grid().len()).map(|_| rng.random()).collect()
}

fn good_files(folder: &Path) -> Vec<Good> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let labels = LabelVolume::new(grid(), noise(&mut rng)).unwrap();
    let values = labels.data().iter().map(|v| f32::from(*v) * 1.5).collect();
    let volume = Volume::new(grid(), values).unwrap();
    let mut all = Vec::new();
    let mut add = |name: &'static str, beside: Option<&'static str>, content: usize| {
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let (bytes, beside) = (read(name), beside.map(|b| (b, read(b))));
        all.push(Good { name, bytes, beside, content });
    };
    for name in ["a.nii", "a.nii.gz"] {
        nifti::write_volume(&folder.join(name), &volume).unwrap();
        add(name, None, 4 * grid().len() + 352);
    }
    for (name, beside) in [
        ("b.hdr", Some("b.img")),
        ("c.mha", None),
        ("d.mhd", Some("d.zraw")),
        ("e.nrrd", None),
        ("f.nhdr", Some("f.raw.gz")),
    ] {
        volumes::write_labels(&folder.join(name), &labels).unwrap();
        add(name, beside, grid().len() + 2048);
    }
    let [i, j, k] = grid().dims;
    let text: Vec<String> = labels.data().iter().map(u8::to_string).collect();
    for (name, content) in [
        (
            "g.nrrd",
            [
                format!(
                    "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {i} {j} {k}\nspacings: 1 1 3\n\
                     encoding: raw\n\n"
                )
                .into_bytes(),
                labels.data().to_vec(),
            ]
            .concat(),
        ),
        (
            "h.nrrd",
            format!(
                "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {i} {j} {k}\nspacings: 1 1 3\n\
                 encoding: text\n\n{}",
                text.join(" ")
            )
            .into_bytes(),
        ),
        (
            "i.mha",
            [
                format!("NDims = 3\nDimSize = {i} {j} {k}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n")
                    .into_bytes(),
                labels.data().to_vec(),
            ]
            .concat(),
        ),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
        add(name, None, 4 * grid().len() + 2048);
    }
    add_newer_kinds(folder, labels.data());
    for (name, beside) in NEWER_KINDS {
        // The decoder of bzip2 holds a block of 900 kB, four bytes for each.
        let more = if name == "p.nrrd" { (4 << 20) / MULTIPLE } else { 0 };
        add(name, beside, 8 * grid().len() + 2048 + more);
    }
    #[cfg(feature = "dicom")]
    {
        let slices = labels.data().chunks(480);
        let series = folder.join("series");
        std::fs::create_dir(&series).unwrap();
        for (height, pixels) in slices.enumerate() {
            let slice = heap::slice(pixels, [24, 20], height as u16 + 3);
            std::fs::write(series.join(format!("{height}.dcm")), slice).unwrap();
        }
        std::fs::copy(series.join("0.dcm"), folder.join("j.dcm")).unwrap();
        add("j.dcm", None, 2048);
        // Frames of bits, one for each slice of the series; a bit is unpacked to a byte.
        let on_series = *volumes::read_volume(&series).unwrap().grid();
        let mask = LabelVolume::new(on_series, labels.data().to_vec()).unwrap();
        volumes::write_mask_like(&series, &folder.join("k.dcm"), &mask).unwrap();
        add("k.dcm", None, grid().len());
    }
    #[cfg(feature = "image")]
    for (name, format) in IMAGES {
        let [i, j, _] = grid().dims;
        let pixels = labels.data()[..3 * i * j].to_vec();
        let image = image::RgbImage::from_raw(i as u32, j as u32, pixels).unwrap();
        image.save_with_format(folder.join(name), format).unwrap();
        // What DEFLATE could unpack to, of which a header may promise all.
        add(name, None, 1 << 21);
    }
    all
}

/// Two-dimensional images.
#[cfg(feature = "image")]
const IMAGES: [(&str, image::ImageFormat); 4] = [
    ("t.png", image::ImageFormat::Png),
    ("u.jpg", image::ImageFormat::Jpeg),
    ("v.tif", image::ImageFormat::Tiff),
    ("w.bmp", image::ImageFormat::Bmp),
];

/// Good files of further kinds, with the one of their data files that is broken too.
const NEWER_KINDS: [(&str, Option<&str>); 8] = [
    ("l.nii", None),
    ("m.hdr", Some("m.img")),
    ("n.nii.gz", None),
    ("o.nrrd", None),
    ("p.nrrd", None),
    ("q.nhdr", Some("q3.raw")),
    ("r.mhd", Some("r2.raw")),
    ("s.mhd", Some("s7.raw")),
];

/// NIfTI-2, Analyze, two channels, hexadecimal digits, bzip2, lists and patterns of files.
fn add_newer_kinds(folder: &Path, labels: &[u8]) {
    use std::io::Write;
    let write = |name: &str, parts: &[&[u8]]| {
        std::fs::write(folder.join(name), parts.concat()).unwrap();
    };
    let [i, j, k] = grid().dims;
    let mut two = vec![0; 544];
    let mut put = |at: usize, bytes: &[u8]| two[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &540_i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &2_i16.to_le_bytes());
    for (axis, d) in [3, i, j, k].into_iter().enumerate() {
        put(16 + 8 * axis, &(d as i64).to_le_bytes());
        put(104 + 8 * axis, &1.0_f64.to_le_bytes());
    }
    put(168, &544_i64.to_le_bytes());
    write("l.nii", &[&two, labels]);
    // A header of NIfTI-1 without its magic is one of Analyze; with a fourth dimension, two channels.
    let plain = std::fs::read(folder.join("a.nii")).unwrap();
    let mut analyze = plain[..348].to_vec();
    analyze[70..72].copy_from_slice(&2_i16.to_le_bytes());
    analyze[108..112].fill(0);
    analyze[344..348].fill(0);
    write("m.hdr", &[&analyze]);
    write("m.img", &[labels]);
    let mut channels = plain[..352].to_vec();
    channels[40..42].copy_from_slice(&4_i16.to_le_bytes());
    channels[48..50].copy_from_slice(&2_i16.to_le_bytes());
    channels[70..72].copy_from_slice(&2_i16.to_le_bytes());
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(&[&channels, labels, labels].concat()).unwrap();
    write("n.nii.gz", &[&packer.finish().unwrap()]);
    let nrrd = |encoding: &str| {
        format!(
            "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {i} {j} {k}\nspacings: 1 1 3\n\
             encoding: {encoding}\n"
        )
    };
    let digits: String = labels.iter().map(|b| format!("{b:02x}")).collect();
    write("o.nrrd", &[nrrd("hex").as_bytes(), b"\n", digits.as_bytes()]);
    let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    packer.write_all(labels).unwrap();
    write("p.nrrd", &[nrrd("bzip2").as_bytes(), b"\n", &packer.finish().unwrap()]);
    let names = |letter: &str| (0..k).map(|n| format!("{letter}{n}.raw\n")).collect::<String>();
    for (n, slice) in labels.chunks(i * j).enumerate() {
        write(&format!("q{n}.raw"), &[slice]);
        write(&format!("r{n}.raw"), &[slice]);
        write(&format!("s{n}.raw"), &[slice]);
    }
    write("q.nhdr", &[format!("{}data file: LIST\n{}", nrrd("raw"), names("q")).as_bytes()]);
    let mhd = format!("NDims = 3\nDimSize = {i} {j} {k}\nElementType = MET_UCHAR\n");
    write("r.mhd", &[format!("{mhd}ElementDataFile = LIST\n{}", names("r")).as_bytes()]);
    write("s.mhd", &[format!("{mhd}ElementDataFile = s%d.raw 0 {} 1\n", k - 1).as_bytes()]);
}

/// Reads a file both ways and holds what came out to the rules.
#[track_caller]
fn examine(path: &Path, most: usize) -> Result<(), Error> {
    // Of a file of several channels the second is read; the others have none.
    let choose = |channel| ReadOptions::default().with_channel(channel);
    let second = matches!(volumes::read_volume(path), Err(Error::SeveralChannels { .. }));
    let options = choose(second.then_some(1));
    HEAP.start();
    let volume = volumes::load_volume(path, &options).map(|loaded| loaded.value);
    let peak = HEAP.peak();
    assert!(peak <= most, "{}: {peak} bytes of memory, {most} are allowed", path.display());
    HEAP.start();
    let labels = volumes::load_labels(path, &options).map(|loaded| loaded.value);
    let peak = HEAP.peak();
    assert!(peak <= most, "{}: {peak} bytes of memory, {most} are allowed", path.display());
    if let Ok(volume) = &volume {
        assert_eq!(volume.data().len(), volume.grid().len());
        assert!(volume.grid().affine.inverse().is_ok(), "{volume:?}");
    }
    for error in [volume.as_ref().err(), labels.as_ref().err()].into_iter().flatten() {
        let text = error.to_string();
        // A clear error names a file and says more than that.
        assert!(text.contains(&path.parent().unwrap().display().to_string()), "{text}");
        assert!(text.len() < 2000 && text.contains(": "), "{text}");
    }
    volume.and(labels.map(|_| ()))
}

#[test]
fn broken_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let goods = good_files(folder.path());
    let mut rng = ChaCha8Rng::seed_from_u64(2026);
    let (mut files, mut refused) = (0, 0);
    for good in &goods {
        let path: PathBuf = folder.path().join(good.name);
        let most = |bytes: usize| MULTIPLE * (good.content + bytes) + BUFFERS;
        let fine = examine(&path, most(good.bytes.len()));
        // Decimals are no labels; that is the only thing wrong with a good file.
        let no_label = matches!(fine, Err(Error::NotALabel { .. }));
        let no_mask =
            matches!(&fine, Err(Error::Image { problem, .. }) if problem.contains("colours"));
        assert!(fine.is_ok() || no_label || no_mask, "{}: {fine:?}", good.name);
        for _ in 0..MUTANTS {
            let bytes = broken(&good.bytes, &mut rng);
            std::fs::write(&path, &bytes).unwrap();
            refused += usize::from(examine(&path, most(bytes.len())).is_err());
            files += 1;
        }
        std::fs::write(&path, &good.bytes).unwrap();
        if let Some((name, bytes)) = &good.beside {
            let other = folder.path().join(name);
            for _ in 0..MUTANTS {
                let bytes = broken(bytes, &mut rng);
                std::fs::write(&other, &bytes).unwrap();
                refused += usize::from(examine(&path, most(bytes.len())).is_err());
                files += 1;
            }
            std::fs::remove_file(&other).unwrap();
            assert!(matches!(examine(&path, most(0)), Err(Error::Io { .. })), "{name}");
        }
    }
    // Some mutants are still volumes: a changed voxel, a comment.
    assert!(files >= 200 && refused >= files / 2, "{refused} of {files} files refused");
}

/// A packed file that unpacks to a thousand times its size: memory for what is there, not more.
#[test]
fn what_is_packed_tightly_is_bounded_by_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let grid = Grid { dims: [128, 128, 64], affine: Affine::from_spacing([1.0; 3]) };
    let labels = LabelVolume::new(grid, vec![0; grid.len()]).unwrap();
    for name in ["a.nii.gz", "b.mha", "c.nrrd"] {
        let path = folder.path().join(name);
        volumes::write_labels(&path, &labels).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 4096);
        examine(&path, MULTIPLE * (grid.len() + 4096) + BUFFERS).unwrap();
    }
}

/// DICOM headers whose lengths, read as `dicom-object` reads them, ask for gigabytes, and such as hold
/// many small items (`docs/decisions/dicom-parser.md`): at most 64 MiB and 32 bytes for each of the
/// file's.
#[cfg(feature = "dicom")]
#[test]
fn what_a_dicom_header_promises_takes_no_memory() {
    const BASE: usize = 64 << 20;
    const EACH_BYTE: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let slice = heap::slice(&[7; 480], [24, 20], 3);
    let pixels = slice.windows(6).position(|w| w == b"\xE0\x7F\x10\0OW").unwrap();
    let with = |extra: &[u8]| [&slice[..pixels], extra, &slice[pixels..]].concat();
    let item = b"\xFE\xFF\0\xE0\x08\0\0\0\x08\0\x50\x11\0\0\0\0";
    let unknown = |tag: &[u8; 4], items: &[u8]| {
        let end = b"\xFE\xFF\xDD\xE0\0\0\0\0";
        [&tag[..], b"UN\0\0\xFF\xFF\xFF\xFF", items, end].concat()
    };
    // 16975 bytes, whose length reads `OB`, and 3.9 GB behind it.
    let mut trap = b"\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\x05\x20\x01\x10\x4F\x42\0\0\0\0\0\xEE".to_vec();
    trap.resize(trap.len() + 0x424F - 4, 0);
    trap.extend(b"\xFE\xFF\x0D\xE0\0\0\0\0");
    for (extra, is_read) in [
        (unknown(b"\x05\x20\x0F\x14", &trap), true),
        (unknown(b"\x05\x20\x0F\x14", &item.repeat(200_000)), true),
        (b"\x08\0\x32\0SL\x0E\x00115754.640000 ".to_vec(), true),
        (unknown(b"\x08\0\x40\x11", &item.repeat(10_000)), true),
        (unknown(b"\x08\0\x40\x11", &item.repeat(200_000)), false),
        (
            b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF".repeat(100_000),
            false,
        ),
    ] {
        let bytes = with(&extra);
        std::fs::write(&path, &bytes).unwrap();
        let read = examine(&path, BASE + EACH_BYTE * bytes.len());
        assert_eq!(read.is_ok(), is_read, "{:02X?}: {read:?}", &extra[..20]);
    }
}
