//! Segmentations that other programs write: frames left out, several segments, label maps.

use super::super::super::attributes::{self, other_bytes, sequence, unsigned_short};
use super::super::super::tests::file_bytes;
use super::*;
use crate::volumes::{ReadOptions, load_labels, load_labels_of, load_volume};
use dicom_core::VR;

/// A segmentation of frames of 5 × 3 pixels, so that no frame of bits ends with a byte.
struct Foreign {
    kind: &'static str,
    bits: u16,
    /// Height and segment of each frame; segment 0 says none.
    frames: Vec<(f64, u16)>,
    /// The pixels of each frame.
    pixels: Vec<[u16; 15]>,
    segments: Vec<u16>,
    /// SpacingBetweenSlices and SliceThickness, mm.
    apart: [Option<f64>; 2],
    /// Images that it refers to.
    referenced: usize,
    /// Place of each frame's image among them, where the frames say it.
    sources: Vec<usize>,
    photometric: &'static str,
}

/// One segment in the planes at 0, 3 and 9 mm; its frames in another order.
fn sparse() -> Foreign {
    Foreign {
        kind: "BINARY",
        bits: 1,
        frames: vec![(9.0, 1), (0.0, 1), (3.0, 1)],
        pixels: [9, 0, 3].map(pattern).into(),
        segments: vec![1],
        apart: [Some(3.0), Some(2.5)],
        referenced: 4,
        sources: Vec::new(),
        photometric: "MONOCHROME2",
    }
}

/// Pixels that tell planes apart.
fn pattern(seed: u16) -> [u16; 15] {
    std::array::from_fn(|v| u16::from((v as u16 * (seed + 3) + seed) % 7 < 3))
}

fn zeros() -> [u16; 15] {
    [0; 15]
}

impl Foreign {
    fn bytes(&self) -> Vec<u8> {
        let instance = |n: usize| {
            vec![attributes::text(
                tags::REFERENCED_SOP_INSTANCE_UID,
                VR::UI,
                format!("1.2.3.9.{n}"),
            )]
        };
        let frame = |(index, (height, segment)): (usize, &(f64, u16))| {
            let position = format!("-10\\-20\\{height}");
            let position = vec![attributes::text(tags::IMAGE_POSITION_PATIENT, VR::DS, position)];
            let mut frame = vec![sequence(tags::PLANE_POSITION_SEQUENCE, [position])];
            if let Some(source) = self.sources.get(index) {
                let image = vec![sequence(tags::SOURCE_IMAGE_SEQUENCE, [instance(*source)])];
                frame.push(sequence(tags::DERIVATION_IMAGE_SEQUENCE, [image]));
            }
            if *segment > 0 {
                let number = vec![unsigned_short(tags::REFERENCED_SEGMENT_NUMBER, *segment)];
                frame.push(sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, [number]));
            }
            frame
        };
        let mut measures = vec![attributes::text(tags::PIXEL_SPACING, VR::DS, "0.75\\0.5")];
        let lengths = [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS];
        for (tag, length) in lengths.into_iter().zip(self.apart) {
            measures.extend(length.map(|l| attributes::text(tag, VR::DS, l.to_string())));
        }
        let orientation = "1\\0\\0\\0\\1\\0";
        let orientation =
            vec![attributes::text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, orientation)];
        let shared = vec![
            sequence(tags::PLANE_ORIENTATION_SEQUENCE, [orientation]),
            sequence(tags::PIXEL_MEASURES_SEQUENCE, [measures]),
        ];
        let segment = |n: &u16| {
            let label = attributes::text(tags::SEGMENT_LABEL, VR::LO, format!("part {n}"));
            vec![unsigned_short(tags::SEGMENT_NUMBER, *n), label]
        };
        let referenced = (0..self.referenced).map(instance);
        let series = vec![sequence(tags::REFERENCED_INSTANCE_SEQUENCE, referenced)];
        let class = match self.kind {
            "LABELMAP" => uids::LABEL_MAP_SEGMENTATION_STORAGE,
            _ => uids::SEGMENTATION_STORAGE,
        };
        let frames = self.frames.iter().enumerate().map(frame);
        file_bytes(vec![
            attributes::text(tags::SOP_CLASS_UID, VR::UI, class),
            attributes::text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.5"),
            sequence(tags::REFERENCED_SERIES_SEQUENCE, [series]),
            attributes::text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.1"),
            attributes::text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.4"),
            unsigned_short(tags::SAMPLES_PER_PIXEL, 1),
            attributes::text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, self.photometric),
            attributes::text(tags::NUMBER_OF_FRAMES, VR::IS, self.frames.len().to_string()),
            unsigned_short(tags::ROWS, 3),
            unsigned_short(tags::COLUMNS, 5),
            unsigned_short(tags::BITS_ALLOCATED, self.bits),
            unsigned_short(tags::BITS_STORED, self.bits),
            unsigned_short(tags::HIGH_BIT, self.bits - 1),
            unsigned_short(tags::PIXEL_REPRESENTATION, 0),
            attributes::text(tags::SEGMENTATION_TYPE, VR::CS, self.kind),
            sequence(tags::SEGMENT_SEQUENCE, self.segments.iter().map(segment)),
            sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, [shared]),
            sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames),
            other_bytes(tags::PIXEL_DATA, self.pixel_bytes()),
        ])
    }

    fn pixel_bytes(&self) -> Vec<u8> {
        let all: Vec<u16> = self.pixels.iter().flatten().copied().collect();
        match self.bits {
            1 => {
                let byte =
                    |eight: &[u16]| eight.iter().enumerate().map(|(at, v)| (*v as u8) << at).sum();
                all.chunks(8).map(byte).collect()
            }
            8 => all.iter().map(|v| *v as u8).collect(),
            _ => all.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn file(&self, scratch: &Scratch) -> PathBuf {
        scratch.file("foreign.dcm", &self.bytes())
    }
}

/// Labels of planes, one after the other.
fn planes(pixels: &[[u16; 15]]) -> Vec<u8> {
    pixels.iter().flatten().map(|v| *v as u8).collect()
}

/// The grid of an image with slices every 3 mm from a height on.
fn image(lowest: f64, slices: usize) -> Grid {
    // By hand: columns along L at 0.5 mm, rows along P at 0.75 mm, LPS to RAS.
    let affine = Affine([[-0.5, 0.0, 0.0, 10.0], [0.0, -0.75, 0.0, 20.0], [0.0, 0.0, 3.0, lowest]]);
    Grid { dims: [5, 3, slices], affine }
}

fn choosing(segment: u16) -> ReadOptions {
    ReadOptions::default().with_segment(Some(segment))
}

fn refused(foreign: &Foreign) -> String {
    let scratch = Scratch::new();
    read_labels(&foreign.file(&scratch)).unwrap_err().to_string()
}

#[test]
fn slices_without_a_frame_are_background() {
    let scratch = Scratch::new();
    let path = sparse().file(&scratch);
    let loaded = load_labels(&path, &ReadOptions::default()).unwrap();
    assert_eq!(loaded.value.grid(), &image(0.0, 4));
    let expected = planes(&[pattern(0), pattern(3), zeros(), pattern(9)]);
    assert_eq!(loaded.value.data(), expected);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.details.iter().any(|d| d.contains("1 of 4 slices")), "{:?}", loaded.details);
    assert!(loaded.details.iter().any(|d| d.contains("1 (part 1)")), "{:?}", loaded.details);
    // As intensities, and as files.
    let volume = load_volume(&path, &ReadOptions::default()).unwrap().value;
    assert!(volume.data().iter().zip(&expected).all(|(v, label)| *v == f32::from(*label)));
    assert_eq!(volumes::files(&path).unwrap(), std::slice::from_ref(&path));
    // It refers to more images than its frames span.
    let more = Foreign { referenced: 6, ..sparse() }.file(&scratch);
    let loaded = load_labels(&more, &ReadOptions::default()).unwrap();
    assert!(loaded.warnings[0].contains("4 slices of the 6 images"), "{:?}", loaded.warnings);
}

#[test]
fn beside_its_image_it_has_the_images_slices() {
    let scratch = Scratch::new();
    let path = Foreign { referenced: 7, ..sparse() }.file(&scratch);
    let on = |grid: &Grid| load_labels_of(&path, &ReadOptions::default(), grid).unwrap();
    let loaded = on(&image(-3.0, 7));
    assert_eq!(loaded.value.grid(), &image(-3.0, 7));
    let expected = [zeros(), pattern(0), pattern(3), zeros(), pattern(9), zeros(), zeros()];
    assert_eq!(loaded.value.data(), planes(&expected));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    // The same image, stored from the head down.
    let mut down = image(15.0, 7);
    down.affine.0[2][2] = -3.0;
    let expected: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(on(&down).value.data(), planes(&expected));
    // Other images: it stays on its own grid, which the caller compares.
    let mut beside = image(-3.0, 7);
    beside.affine.0[0][3] += 1.0;
    for other in [image(-1.5, 7), image(0.0, 3), beside] {
        assert_eq!(on(&other).value.grid(), &image(0.0, 4), "{other:?}");
    }
}

#[test]
fn the_distance_between_slices_may_be_unknown() {
    let two = |apart, heights: [f64; 2]| Foreign {
        frames: heights.map(|height| (height, 1)).into(),
        pixels: [0, 9].map(pattern).into(),
        apart,
        ..sparse()
    };
    let scratch = Scratch::new();
    let slices = |foreign: &Foreign| {
        read_labels(&foreign.file(&scratch)).map(|labels| labels.grid().dims[2])
    };
    // SpacingBetweenSlices, or neighbours.
    assert_eq!(slices(&two([Some(3.0), Some(2.5)], [0.0, 9.0])).unwrap(), 4);
    assert_eq!(slices(&two([None, Some(2.5)], [0.0, 3.0])).unwrap(), 2);
    assert_eq!(slices(&two([None, None], [0.0, 3.0])).unwrap(), 2);
    // Thin slices far apart, where most planes are as near as the nearest, or none is missing.
    let thin = [None, Some(1.0)];
    let three = Foreign {
        frames: [0.0, 3.0, 6.0, 12.0].map(|height| (height, 1)).into(),
        pixels: [0, 1, 2, 3].map(pattern).into(),
        apart: thin,
        ..sparse()
    };
    assert_eq!(slices(&three).unwrap(), 5);
    assert_eq!(slices(&Foreign { referenced: 2, ..two(thin, [0.0, 9.0]) }).unwrap(), 2);
    // Rounded in the file: 20 slices of 3.02 mm where it says 3.
    assert_eq!(slices(&two([Some(3.0), None], [0.0, 20.0 * 3.02])).unwrap(), 21);
    // Two planes far apart: slices of 2.5 mm may lie between them, at any distance.
    let unknown = two([None, Some(2.5)], [0.0, 9.0]);
    let error = refused(&unknown);
    assert!(error.contains("how far apart") && error.contains("image"), "{error}");
    let path = unknown.file(&scratch);
    let labels = load_labels_of(&path, &ReadOptions::default(), &image(0.0, 4)).unwrap().value;
    assert_eq!(labels.data(), planes(&[pattern(0), zeros(), zeros(), pattern(9)]));
    // One plane is one slice, as thick as the file says.
    let one = Foreign { frames: vec![(3.0, 1)], pixels: vec![pattern(3)], ..sparse() };
    let labels = read_labels(&one.file(&scratch)).unwrap();
    assert_eq!(labels.grid(), &image(3.0, 1));
}

#[test]
fn positions_out_of_all_bounds_are_refused() {
    for far in [3e3, 3e9, 1e300, -1e300] {
        let foreign = Foreign { frames: vec![(far, 1), (0.0, 1), (3.0, 1)], ..sparse() };
        let error = refused(&foreign);
        assert!(error.contains("foreign.dcm: its frames"), "{error}");
    }
    let limit = ReadOptions::default().with_max_bytes(59);
    let scratch = Scratch::new();
    let error = load_labels(&sparse().file(&scratch), &limit).unwrap_err().to_string();
    assert!(error.contains("limit of 59"), "{error}");
}

#[test]
fn the_list_of_images_says_how_many_slices_there_are() {
    let scratch = Scratch::new();
    let read = |sources: &[usize]| {
        let foreign = Foreign { referenced: 7, sources: sources.to_vec(), ..sparse() };
        load_labels(&foreign.file(&scratch), &ReadOptions::default()).unwrap()
    };
    // Frames lie at 9, 0 and 3 mm: one slice below them and two above, listed upwards or downwards.
    let expected = [zeros(), pattern(0), pattern(3), zeros(), pattern(9), zeros(), zeros()];
    for sources in [[4, 1, 2], [2, 5, 4]] {
        let loaded = read(&sources);
        assert_eq!(loaded.value.grid(), &image(-3.0, 7), "{sources:?}");
        assert_eq!(loaded.value.data(), planes(&expected), "{sources:?}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
    // Lists in another order; too few frames to tell.
    for sources in [&[4, 2, 1][..], &[1, 4, 2], &[6, 3, 5], &[4, 1]] {
        let loaded = read(sources);
        assert_eq!(loaded.value.grid(), &image(0.0, 4), "{sources:?}");
        assert!(loaded.warnings[0].contains("4 slices of the 7 images"), "{:?}", loaded.warnings);
    }
}

/// Segments 1 and 3, both in the plane at 0, one each at 3 and 9 mm.
fn several() -> Foreign {
    let three = pattern(0).map(|v| 1 - v);
    Foreign {
        frames: vec![(0.0, 1), (3.0, 1), (0.0, 3), (9.0, 3)],
        pixels: vec![pattern(0), pattern(3), three, pattern(9)],
        segments: vec![1, 3],
        ..sparse()
    }
}

#[test]
fn several_segments_are_labels_by_their_numbers() {
    let scratch = Scratch::new();
    let path = several().file(&scratch);
    let labels = read_labels(&path).unwrap();
    let both = pattern(0).map(|v| if v == 1 { 1 } else { 3 });
    let expected = planes(&[both, pattern(3), zeros(), pattern(9).map(|v| 3 * v)]);
    assert_eq!((labels.grid(), labels.data()), (&image(0.0, 4), expected.as_slice()));
    // One of them, on the grid of all.
    let third = [pattern(0).map(|v| 1 - v), zeros(), zeros(), pattern(9)];
    let loaded = load_labels(&path, &choosing(3)).unwrap();
    assert_eq!(loaded.value.data(), planes(&third));
    let volume = load_volume(&path, &choosing(1)).unwrap().value;
    let first = planes(&[pattern(0), pattern(3), zeros(), zeros()]);
    assert!(volume.data().iter().zip(&first).all(|(v, label)| *v == f32::from(*label)));
    let error = load_labels(&path, &choosing(2)).unwrap_err();
    assert!(matches!(error, Error::NoSuchSegment { wanted: 2, .. }), "{error}");
    assert!(error.to_string().contains("1 (part 1), 3 (part 3)"), "{error}");
}

#[test]
fn segments_that_overlap_need_a_choice() {
    let mut foreign = several();
    foreign.pixels[2][0] = 1;
    let scratch = Scratch::new();
    let path = foreign.file(&scratch);
    let error = read_labels(&path).unwrap_err();
    assert!(matches!(error, Error::SegmentsOverlap { voxel: [0, 0, 0], .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("1 (part 1)") && said.contains("3 (part 3)"), "{said}");
    for (number, frame) in [(1, 0), (3, 2)] {
        let loaded = load_labels(&path, &choosing(number)).unwrap();
        assert_eq!(loaded.value.slice(0).unwrap(), planes(&[foreign.pixels[frame]]), "{number}");
    }
}

/// Labels 0, 2 and 5 in two planes.
fn label_map(bits: u16) -> Foreign {
    let labels = [0, 3].map(|seed| {
        let mut values = pattern(seed).map(|v| 2 * v);
        values[14] = 5;
        values
    });
    Foreign {
        kind: "LABELMAP",
        bits,
        frames: vec![(6.0, 0), (0.0, 0)],
        pixels: labels.into(),
        segments: vec![2, 5],
        ..sparse()
    }
}

#[test]
fn label_maps() {
    let scratch = Scratch::new();
    for bits in [8, 16] {
        let foreign = label_map(bits);
        let palette = Foreign { photometric: "PALETTE COLOR", ..label_map(bits) };
        let expected = planes(&[foreign.pixels[1], zeros(), foreign.pixels[0]]);
        for path in [foreign.file(&scratch), palette.file(&scratch)] {
            let labels = read_labels(&path).unwrap();
            assert_eq!((labels.grid(), labels.data()), (&image(0.0, 3), expected.as_slice()));
            let fifth = load_labels(&path, &choosing(5)).unwrap().value;
            let is_fifth = expected.iter().map(|v| u8::from(*v == 5));
            assert_eq!(fifth.data(), is_fifth.collect::<Vec<_>>());
            let error = load_labels(&path, &choosing(1)).unwrap_err();
            assert!(matches!(error, Error::NoSuchSegment { .. }), "{error}");
        }
    }
    let mut large = label_map(16);
    large.segments.push(300);
    large.pixels[0][3] = 300;
    let path = large.file(&scratch);
    let error = read_labels(&path).unwrap_err();
    assert!(matches!(error, Error::NotALabel { voxel: [3, 0, 2], .. }), "{error}");
    let labels = load_labels(&path, &choosing(300)).unwrap().value;
    assert_eq!(labels.data().iter().map(|v| usize::from(*v)).sum::<usize>(), 1);
}

#[test]
fn what_a_segmentation_cannot_say_is_refused() {
    let fractions = Foreign { kind: "FRACTIONAL", bits: 8, ..sparse() };
    let error = refused(&fractions);
    assert!(error.contains("FRACTIONAL") && error.contains("threshold"), "{error}");
    let error = refused(&Foreign { kind: "SURFACE", ..sparse() });
    assert!(error.contains("expected BINARY or LABELMAP"), "{error}");
    let twice = Foreign { frames: vec![(9.0, 1), (0.0, 1), (0.0, 1)], ..sparse() };
    let error = refused(&twice);
    assert!(error.contains("frame 3 of segment 1 (part 1) has the same position"), "{error}");
    let nameless =
        Foreign { frames: vec![(9.0, 1), (0.0, 0), (3.0, 1)], segments: vec![1, 2], ..sparse() };
    let error = refused(&nameless);
    assert!(error.contains("frame 2 does not say"), "{error}");
    // Of one segment it need not say so.
    let only = Foreign { frames: vec![(9.0, 0), (0.0, 0), (3.0, 0)], ..sparse() };
    let scratch = Scratch::new();
    assert_eq!(read_labels(&only.file(&scratch)).unwrap().grid(), &image(0.0, 4));
    let many = Foreign {
        frames: vec![(9.0, 1), (0.0, 1), (3.0, 300)],
        segments: vec![1, 300],
        ..sparse()
    };
    let error = refused(&many);
    assert!(error.contains("segment 300 (part 300)") && error.contains("255"), "{error}");
    let path = many.file(&scratch);
    assert_eq!(load_labels(&path, &choosing(300)).unwrap().value.grid(), &image(0.0, 4));
    // Two files of one series.
    let dir = scratch.path("two");
    std::fs::create_dir(&dir).unwrap();
    for name in ["a.dcm", "b.dcm"] {
        std::fs::write(dir.join(name), sparse().bytes()).unwrap();
    }
    let error = read_labels(&dir).unwrap_err().to_string();
    assert!(error.contains("same series"), "{error}");
}
