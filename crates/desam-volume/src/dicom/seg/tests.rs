mod classes;
mod foreign;
mod names;

use super::super::attributes::decimal;
use super::super::tests::{Draft, draft, folder};
use super::super::{file, files, list_series, read_labels, read_volume};
use super::*;
use crate::volumes;
use crate::voxels::testing::Scratch;
use desam_core::{Affine, Grid, LabelVolume};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};

/// Four oblique slices of 5 × 3 pixels, so that no frame ends with a byte.
fn oblique() -> Vec<Draft> {
    let slice = |k: usize| {
        let by = 3.25 * k as f64;
        Draft {
            rows: 3,
            columns: 5,
            pixels: (0..15).collect(),
            // Turned by 30° about x: columns along x, rows along (0, cos, sin), normal (0, -sin, cos).
            orientation: [1.0, 0.0, 0.0, 0.0, 0.866025403784, 0.5],
            position: [-57.617565642283, -65.25 - 0.5 * by, 24.125 + 0.866025403784 * by],
            ..draft(0.0)
        }
    };
    [2, 0, 3, 1].map(slice).to_vec()
}

/// A mask that differs from slice to slice.
fn mask_of(path: &Path) -> LabelVolume {
    let grid = *read_volume(path, &Default::default()).unwrap().grid();
    LabelVolume::new(grid, (0..grid.len()).map(|v| u8::from(v * v % 7 < 3)).collect()).unwrap()
}

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).unwrap().items().unwrap()
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let text = object.get(tag).unwrap().to_str().unwrap();
    text.trim_end_matches(['\0', ' ']).to_owned()
}

/// A mask of the default table.
fn write_mask_like(reference: &Path, out: &Path, mask: &LabelVolume) -> Result<()> {
    super::write_mask_like(reference, out, mask, &ClassTable::default())
}

fn written(reference: &Path, out: &Path, mask: &LabelVolume) -> (Vec<u8>, DefaultDicomObject) {
    write_mask_like(reference, out, mask).unwrap();
    (std::fs::read(out).unwrap(), file::open(out).unwrap())
}

#[test]
fn a_mask_comes_back_on_its_grid() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &oblique());
    let mut mask = mask_of(&dir);
    let out = scratch.path("mask.dcm");
    volumes::write_mask_like(&dir, &out, &mask).unwrap();
    let back = volumes::read_labels(&out).unwrap();
    assert_eq!(back.data(), mask.data());
    // Directions are written with 16 characters.
    assert!(back.grid().matches(mask.grid(), 1e-9), "{:?} {:?}", back.grid(), mask.grid());
    // An empty mask is a mask of as many slices; any label is foreground.
    for value in [0, 255] {
        mask = LabelVolume::new(*mask.grid(), vec![value; mask.data().len()]).unwrap();
        write_mask_like(&dir, &out, &mask).unwrap();
        assert_eq!(read_labels(&out).unwrap().data(), mask.clone().binarised().data());
        assert_eq!(read_labels(&out).unwrap().grid().dims, [5, 3, 4]);
    }
    // Beside its series it is not taken for a part of it.
    write_mask_like(&dir, &dir.join("mask.dcm"), &mask).unwrap();
    assert_eq!(mask_of(&dir).grid(), mask.grid());
    assert_eq!((files(&dir).unwrap().len(), list_series(&dir).unwrap().len()), (4, 1));
}

#[test]
fn what_it_says_of_its_series() {
    let scratch = Scratch::new();
    let mut drafts = oblique();
    let dir = folder(&scratch, &drafts);
    let mask = mask_of(&dir);
    let (bytes, object) = written(&dir, &scratch.path("mask.dcm"), &mask);
    assert_eq!(text(&object, tags::SOP_CLASS_UID), uids::SEGMENTATION_STORAGE);
    assert_eq!(text(&object, tags::MODALITY), "SEG");
    assert_eq!(text(&object, tags::SEGMENTATION_TYPE), "BINARY");
    // The series tells no date.
    assert_eq!(text(&object, tags::CONTENT_DATE), "19000101");
    // Patient and study are the series', the frame of reference too.
    assert_eq!(text(&object, tags::STUDY_INSTANCE_UID), "1.2.1");
    assert_eq!(text(&object, tags::FRAME_OF_REFERENCE_UID), "1.2.2");
    assert_eq!(text(&object, tags::PATIENT_NAME), "");
    // By hand: 60 bits are 8 bytes; the first are those of voxels 0 to 7.
    let pixels = object.get(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    let first = (0..8).map(|v| u8::from(v * v % 7 < 3) << v).sum::<u8>();
    assert_eq!((pixels.len(), pixels[0]), (8, first));
    let series = &items(&object, tags::REFERENCED_SERIES_SEQUENCE)[0];
    assert_eq!(text(series, tags::SERIES_INSTANCE_UID), "1.2.3");
    assert_eq!(items(series, tags::REFERENCED_INSTANCE_SEQUENCE).len(), 4);
    // Each frame lies where its slice lies, and names it.
    drafts.sort_by(|a, b| a.position[2].total_cmp(&b.position[2]));
    let frames = items(&object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    assert_eq!(frames.len(), 4);
    for (index, (frame, draft)) in frames.iter().zip(&drafts).enumerate() {
        let place = &items(frame, tags::PLANE_POSITION_SEQUENCE)[0];
        let position = place.get(tags::IMAGE_POSITION_PATIENT).unwrap().to_multi_float64().unwrap();
        assert!(position.iter().zip(draft.position).all(|(a, b)| (a - b).abs() < 1e-12));
        let image =
            &items(&items(frame, tags::DERIVATION_IMAGE_SEQUENCE)[0], tags::SOURCE_IMAGE_SEQUENCE)
                [0];
        assert_eq!(text(image, tags::REFERENCED_SOP_INSTANCE_UID), draft.instance());
        assert_eq!(text(image, tags::REFERENCED_SOP_CLASS_UID), uids::MR_IMAGE_STORAGE);
        let content = &items(frame, tags::FRAME_CONTENT_SEQUENCE)[0];
        let values: Vec<u32> =
            content.get(tags::DIMENSION_INDEX_VALUES).unwrap().to_multi_int().unwrap();
        assert_eq!(values, [1, index as u32 + 1]);
    }
    // The same again is the same object, another mask another.
    let (again, _) = written(&dir, &scratch.path("again.dcm"), &mask);
    assert!(again == bytes, "other bytes");
    let empty = LabelVolume::new(*mask.grid(), vec![0; 60]).unwrap();
    let (_, other) = written(&dir, &scratch.path("other.dcm"), &empty);
    for uid in [tags::SOP_INSTANCE_UID, tags::SERIES_INSTANCE_UID] {
        let [ours, others] = [&object, &other].map(|o| text(o, uid));
        assert!(ours != others && ours.starts_with("2.25.") && ours.len() <= 64, "{ours}");
    }
    let label = SegmentLabel {
        property: Code::new("41216001", "SCT", "Prostate"),
        ..SegmentLabel::default()
    };
    let path = scratch.path("prostate.dcm");
    write_segmentation(&dir, &path, &mask, &ClassTable::default(), &[label]).unwrap();
    let prostate = file::open(&path).unwrap();
    let segment = &items(&prostate, tags::SEGMENT_SEQUENCE)[0];
    let property = &items(segment, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE)[0];
    assert_eq!(text(property, tags::CODE_MEANING), "Prostate");
    assert_ne!(text(&prostate, tags::SOP_INSTANCE_UID), text(&object, tags::SOP_INSTANCE_UID));
}

#[test]
fn what_cannot_be_referred_to_is_refused() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &oblique());
    let mask = mask_of(&dir);
    assert!(expect_series(&dir).is_ok());
    let out = scratch.path("mask.dcm");
    // Another grid; a file of the series itself.
    let moved = Grid { affine: Affine::from_spacing([1.0; 3]), ..*mask.grid() };
    let moved = LabelVolume::new(moved, vec![0; 60]).unwrap();
    let refused = write_mask_like(&dir, &out, &moved);
    assert!(matches!(refused, Err(Error::GridMismatch { .. })), "{refused:?}");
    let refused = write_mask_like(&dir, &files(&dir).unwrap()[1], &mask);
    assert!(matches!(refused, Err(Error::Unwritable { .. })), "{refused:?}");
    // Another series on another grid does not matter, one on the same does.
    let mut drafts = oblique();
    drafts.extend([0.0, 3.0].map(|z| Draft { series: "1.2.9".into(), ..draft(z) }));
    let two = folder(&scratch, &drafts);
    write_mask_like(&two, &out, &mask).unwrap();
    assert_eq!(read_labels(&out).unwrap().data(), mask.data());
    let twin = |d: Draft| Draft { series: "1.2.8".into(), ..d };
    let twins = folder(&scratch, &[oblique(), oblique().into_iter().map(twin).collect()].concat());
    let error = write_mask_like(&twins, &out, &mask).unwrap_err().to_string();
    assert!(error.contains("several series"), "{error}");
    // A slice that has no name.
    let nameless = scratch.path("nameless");
    std::fs::create_dir(&nameless).unwrap();
    let bytes = oblique()[0].bytes();
    let at = bytes.windows(4).position(|w| w == [0x8, 0, 0x18, 0]).unwrap();
    let mut cut = bytes.clone();
    cut.drain(at..at + 8 + usize::from(bytes[at + 6]));
    std::fs::write(nameless.join("a.dcm"), cut).unwrap();
    for error in [
        expect_series(&nameless).unwrap_err(),
        write_mask_like(&nameless, &out, &mask_of(&nameless)).unwrap_err(),
    ] {
        assert!(error.to_string().contains("SOPInstanceUID is absent"), "{error}");
    }
    let empty = scratch.path("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(matches!(expect_series(&empty), Err(Error::Dicom { .. })));
}

#[test]
fn decimals_have_sixteen_characters() {
    for value in [
        0.0,
        -1.0,
        0.5,
        1.0 / 3.0,
        -2.0 / 3.0,
        2.003351e-10,
        -1.23456789012345e-9,
        1e300,
        123_456.789_012_345_67,
    ] {
        let text = decimal(value);
        let back: f64 = text.parse().unwrap();
        assert!(text.len() <= 16, "{text}");
        assert!((back - value).abs() <= 1e-9 * value.abs(), "{value} {text}");
    }
    assert_eq!(decimal(-57.617565642283), "-57.617565642283");
}
