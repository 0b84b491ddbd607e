//! Masks of several classes, a segment for each.

use super::*;

/// Zones of a prostate, in another order than their labels.
fn zones() -> ClassTable {
    "tz=2,pz=1".parse().unwrap()
}

/// A mask of labels 0, 1 and 2.
fn zones_of(dir: &Path) -> LabelVolume {
    let grid = *read_volume(dir, &Default::default()).unwrap().grid();
    LabelVolume::new(grid, (0..grid.len()).map(|v| (v * v % 7 % 3) as u8).collect()).unwrap()
}

fn number(object: &InMemDicomObject, tag: Tag) -> u16 {
    object.get(tag).unwrap().to_int().unwrap()
}

#[test]
fn classes_come_back_as_segments() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &oblique());
    let (mask, classes) = (zones_of(&dir), zones());
    let out = scratch.path("zones.dcm");
    let options = volumes::ReadOptions::default();
    volumes::write_mask_like_with(&dir, &out, &mask, &options, &classes).unwrap();
    let back = volumes::read_labels(&out).unwrap();
    // Label 2 is the first segment, label 1 the second.
    let expected: Vec<u8> =
        mask.data().iter().map(|label| [0, 2, 1][usize::from(*label)]).collect();
    assert_eq!(back.data(), expected);
    assert!(back.grid().matches(mask.grid(), 1e-9));
    let first = volumes::load_labels(&out, &options.with_segment(Some(1))).unwrap();
    let tz: Vec<u8> = mask.data().iter().map(|label| u8::from(*label == 2)).collect();
    assert_eq!(first.value.data(), tz);
    assert!(first.details[0].contains("segments 1 (tz), 2 (pz)"), "{:?}", first.details);
}

#[test]
fn what_an_object_of_classes_says() {
    let scratch = Scratch::new();
    let mut drafts = oblique();
    let dir = folder(&scratch, &drafts);
    let (mask, out) = (zones_of(&dir), scratch.path("zones.dcm"));
    super::super::write_mask_like(&dir, &out, &mask, &zones()).unwrap();
    let object = file::open(&out).unwrap();
    assert_eq!(text(&object, tags::NUMBER_OF_FRAMES), "8");
    assert_eq!(text(&object, tags::SEGMENTS_OVERLAP), "NO");
    let segments = items(&object, tags::SEGMENT_SEQUENCE);
    let said: Vec<_> = segments
        .iter()
        .map(|s| (number(s, tags::SEGMENT_NUMBER), text(s, tags::SEGMENT_LABEL)))
        .collect();
    assert_eq!(said, [(1, "tz".to_owned()), (2, "pz".to_owned())]);
    let colors: Vec<Vec<u16>> = segments
        .iter()
        .map(|s| s.get(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE).unwrap().to_multi_int().unwrap())
        .collect();
    assert!(colors[0] != colors[1] && colors.iter().all(|c| c.len() == 3), "{colors:?}");
    for segment in segments {
        let property = &items(segment, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE)[0];
        assert_eq!(text(property, tags::CODE_MEANING), "Organ");
    }
    // All slices of the first segment, then all of the second.
    drafts.sort_by(|a, b| a.position[2].total_cmp(&b.position[2]));
    let frames = items(&object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    assert_eq!(frames.len(), 8);
    for (index, frame) in frames.iter().enumerate() {
        let (segment, slice) = (index / 4 + 1, index % 4);
        let identification = &items(frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE)[0];
        assert_eq!(usize::from(number(identification, tags::REFERENCED_SEGMENT_NUMBER)), segment);
        let content = &items(frame, tags::FRAME_CONTENT_SEQUENCE)[0];
        let values: Vec<usize> =
            content.get(tags::DIMENSION_INDEX_VALUES).unwrap().to_multi_int().unwrap();
        assert_eq!(values, [segment, slice + 1]);
        let derivation = &items(frame, tags::DERIVATION_IMAGE_SEQUENCE)[0];
        let image = &items(derivation, tags::SOURCE_IMAGE_SEQUENCE)[0];
        assert_eq!(text(image, tags::REFERENCED_SOP_INSTANCE_UID), drafts[slice].instance());
    }
    // By hand: twice 60 bits are 15 bytes, padded to 16; byte 7 holds the last four bits of the first
    // segment and the first four of the second.
    let pixels = object.get(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    let is = |voxel: usize, label: u8| u8::from(mask.data()[voxel] == label);
    let last = (0..4).map(|n| is(56 + n, 2) << n).sum::<u8>();
    let first = (0..4).map(|n| is(n, 1) << (4 + n)).sum::<u8>();
    assert_eq!((pixels.len(), pixels[7]), (16, last + first));
}

#[test]
fn one_named_class_has_its_name_alone() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &oblique());
    let mask = mask_of(&dir);
    let label = SegmentLabel { name: "prostate".into(), ..SegmentLabel::default() };
    let [named, given] = ["a.dcm", "b.dcm"].map(|name| scratch.path(name));
    super::super::write_mask_like(&dir, &named, &mask, &"prostate=1+2".parse().unwrap()).unwrap();
    write_segmentation(&dir, &given, &mask, &ClassTable::default(), &[label]).unwrap();
    assert!(std::fs::read(named).unwrap() == std::fs::read(given).unwrap(), "other bytes");
}

#[test]
fn what_the_classes_do_not_describe_is_refused() {
    let scratch = Scratch::new();
    let dir = folder(&scratch, &oblique());
    let (mask, out) = (zones_of(&dir), scratch.path("zones.dcm"));
    // Of a class of several labels only the first is written.
    for (classes, label) in [("pz=1", 2), ("zones=2+1", 1), ("pz=1,tz=3", 2)] {
        let classes = classes.parse().unwrap();
        let error = super::super::write_mask_like(&dir, &out, &mask, &classes).unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }), "{error}");
        assert!(error.to_string().contains(&format!("label {label} of the mask")), "{error}");
    }
    let one = [SegmentLabel::default()];
    let error = write_segmentation(&dir, &out, &mask, &zones(), &one).unwrap_err().to_string();
    assert!(error.contains("as classes, 2, found 1"), "{error}");
    assert!(!out.exists());
}
