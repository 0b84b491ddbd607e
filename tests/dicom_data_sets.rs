//! Data sets of DICOM files from folder to report: image and label series, segmentations as labels.

use desam_core::{ClassTable, LabelVolume, Quiet};
use desam_data::layout::Layout;
use desam_data::verify::{VerifyOptions, verify, verify_with};
use desam_volume::{nrrd, volumes};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, Tag};
use std::path::Path;

fn text(tag: Tag, vr: VR, text: impl Into<String>) -> InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::from(text.into()))
}

fn short(tag: Tag, value: u16) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

fn sequence(tag: Tag, items: impl IntoIterator<Item = Vec<InMemElement>>) -> InMemElement {
    let items = items.into_iter().map(InMemDicomObject::from_element_iter).collect::<Vec<_>>();
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

fn save(path: &Path, class: &str, elements: Vec<InMemElement>) {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid("1.2.3.4");
    let object = InMemDicomObject::from_element_iter(elements).with_meta(meta).unwrap();
    object.write_to_file(path).unwrap();
}

/// Elements of images of `rows` × `columns` pixels of 0.5 × 0.75 mm.
fn image(class: &str, series: &str, [rows, columns]: [u16; 2], bits: u16) -> Vec<InMemElement> {
    vec![
        text(tags::SOP_CLASS_UID, VR::UI, class),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.1"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, series),
        short(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        short(tags::ROWS, rows),
        short(tags::COLUMNS, columns),
        short(tags::BITS_ALLOCATED, bits),
        short(tags::BITS_STORED, bits),
        short(tags::HIGH_BIT, bits - 1),
        short(tags::PIXEL_REPRESENTATION, 0),
    ]
}

/// Writes a slice at the height `z` mm.
fn write_slice(path: &Path, series: &str, size: [u16; 2], z: f64, pixels: Vec<u16>) {
    let class = uids::MR_IMAGE_STORAGE;
    let mut elements = image(class, series, size, 16);
    elements.extend([
        text(tags::SOP_INSTANCE_UID, VR::UI, format!("{series}.{}", 10 + z as i64)),
        text(tags::SLICE_THICKNESS, VR::DS, "3"),
        text(tags::IMAGE_POSITION_PATIENT, VR::DS, format!("-10\\-20\\{z}")),
        text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.2"),
        text(tags::PIXEL_SPACING, VR::DS, "0.75\\0.5"),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())),
    ]);
    save(path, class, elements);
}

/// Six slices of noise, and of labels in two of them, in separate folders.
fn write_patient(root: &Path, image: &str, label: Option<&str>, seed: usize) {
    let images = |z: usize| (0..6).map(|v| ((v * 37 + z * 91 + seed * 53) % 997) as u16).collect();
    let labels = |z: usize| vec![u16::from((2..4).contains(&z)); 6];
    let write = |dir: &str, pixels: &dyn Fn(usize) -> Vec<u16>| {
        std::fs::create_dir_all(root.join(dir)).unwrap();
        let series = format!("1.2.3.{}", dir.len());
        for z in 0..6 {
            let path = root.join(dir).join(format!("{}.dcm", 9 - z));
            write_slice(&path, &series, [2, 3], z as f64, pixels(z));
        }
    };
    write(image, &images);
    if let Some(label) = label {
        write(label, &labels);
    }
}

#[test]
fn i2cvbs_labels_are_a_series() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    for (seed, patient) in
        ["GE/Patient 1", "GE/Patient 2", "Siemens/Patient 3", "Siemens/Patient 4"]
            .into_iter()
            .enumerate()
    {
        let [image, label] = ["T2W", "GT/prostate"].map(|end| format!("{patient}/{end}"));
        write_patient(root, &image, Some(&label), seed);
    }
    let report = verify(root, &Quiet).unwrap();
    assert!(report.is_fit(), "{report:#?}");
    assert_eq!((report.layout, report.cases.len()), (Layout::I2cvb, 4));
    assert_eq!((report.sites[0].site.as_str(), report.labelled_slices()), ("GE", 8));
    // Two slices of six pixels of 0.5 × 0.75 × 1 mm.
    assert!((report.cases[0].foreground_ml.unwrap() - 12.0 * 0.375 / 1000.0).abs() < 1e-9);
    assert_eq!(report.cases[0].label_values, [(0, 24), (1, 12)].into());
    assert_eq!(volumes::files(&root.join("GE/Patient 1/GT/prostate")).unwrap().len(), 6);
    // Labels that lack their last slice, as one patient's do, are not taken for the image's.
    std::fs::remove_file(root.join("GE/Patient 1/GT/prostate/4.dcm")).unwrap();
    // One from the middle leaves no stack.
    std::fs::remove_file(root.join("GE/Patient 2/GT/prostate/6.dcm")).unwrap();
    let report = verify(root, &Quiet).unwrap();
    let errors: Vec<_> = report.errors().collect();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(
        errors[0].contains("GE/Patient 1") && errors[0].contains("different grid"),
        "{errors:#?}"
    );
    assert!(errors[1].contains("GE/Patient 2") && errors[1].contains("missing"), "{errors:#?}");
}

#[test]
fn nci_isbis_labels_are_nrrd() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    std::fs::create_dir_all(root.join("Training")).unwrap();
    for (seed, id) in
        ["Prostate3T-01-0001", "Prostate3T-01-0002", "ProstateDx-01-0001", "ProstateDx-01-0055"]
            .into_iter()
            .enumerate()
    {
        let series = format!("manifest/{id}/study/series");
        write_patient(root, &series, None, seed);
        let mut grid = *volumes::read_volume(&root.join(&series)).unwrap().grid();
        // The case of the release whose labels have fewer slices than its image.
        if id.ends_with("55") {
            grid.dims[2] = 4;
        }
        let labels = LabelVolume::new(grid, (0..grid.len()).map(|v| u8::from(v > 11)).collect());
        let path = root.join(format!("Training/{id}.nrrd"));
        nrrd::write_labels(&path, &labels.unwrap(), &ClassTable::default()).unwrap();
    }
    let report = verify(root, &Quiet).unwrap();
    assert_eq!(report.layout, Layout::NciIsbi2013);
    let sites: Vec<_> = report.sites.iter().map(|s| (s.site.as_str(), s.cases)).collect();
    assert_eq!(sites, [("BMC", 2), ("RUNMC", 2)]);
    let errors: Vec<_> = report.errors().collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("BMC/ProstateDx-01-0055") && errors[0].contains("different grid"));
}

/// Writes a binary segmentation of 3 × 5 pixels whose frames lie at these heights and are of these
/// segments, all of their pixels foreground up to `filled`.
fn write_segmentation(path: &Path, frames: &[(f64, u16, usize)]) {
    let class = uids::SEGMENTATION_STORAGE;
    let mut elements = image(class, "1.2.4", [3, 5], 1);
    let number = |n: u16| short(tags::REFERENCED_SEGMENT_NUMBER, n);
    let per_frame = frames.iter().map(|&(height, segment, _)| {
        let position = text(tags::IMAGE_POSITION_PATIENT, VR::DS, format!("-10\\-20\\{height}"));
        vec![
            sequence(tags::PLANE_POSITION_SEQUENCE, [vec![position]]),
            sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, [vec![number(segment)]]),
        ]
    });
    let orientation = text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
    let measures = vec![
        text(tags::SPACING_BETWEEN_SLICES, VR::DS, "3"),
        text(tags::PIXEL_SPACING, VR::DS, "0.75\\0.5"),
    ];
    let shared = vec![
        sequence(tags::PLANE_ORIENTATION_SEQUENCE, [vec![orientation]]),
        sequence(tags::PIXEL_MEASURES_SEQUENCE, [measures]),
    ];
    let segment = |n: u16| {
        vec![short(tags::SEGMENT_NUMBER, n), text(tags::SEGMENT_LABEL, VR::LO, format!("part {n}"))]
    };
    let bits: Vec<bool> =
        frames.iter().flat_map(|&(.., filled)| (0..15).map(move |v| v < filled)).collect();
    let byte = |eight: &[bool]| eight.iter().enumerate().map(|(at, v)| u8::from(*v) << at).sum();
    let pixels: Vec<u8> = bits.chunks(8).map(byte).collect();
    elements.extend([
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.5"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, frames.len().to_string()),
        text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY"),
        sequence(tags::SEGMENT_SEQUENCE, [1, 3].map(segment)),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, [shared]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, per_frame),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels.into())),
    ]);
    save(path, class, elements);
}

#[test]
fn a_segmentation_of_several_segments_labels_a_series() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    std::fs::create_dir(root.join("series")).unwrap();
    for k in 0..7 {
        let pixels = (0..15).map(|v| (v * 37 + k * 91) % 997).collect();
        let path = root.join(format!("series/{k}.dcm"));
        write_slice(&path, "1.2.3", [3, 5], 3.0 * f64::from(k) - 3.0, pixels);
    }
    // Segment 1 in the planes at 0 and 3 mm, segment 3 in that at 9 mm.
    write_segmentation(&root.join("several.dcm"), &[(0.0, 1, 4), (3.0, 1, 6), (9.0, 3, 9)]);
    let table = root.join("cases.csv");
    std::fs::write(&table, "image,label,case,site\nseries,several.dcm,one,A\n").unwrap();
    let verified = |segment: Option<u16>| {
        let read = volumes::ReadOptions::default().with_segment(segment);
        let options = VerifyOptions { read, ..VerifyOptions::default() };
        let mut report = verify_with(&table, &options, &Quiet).unwrap();
        assert!(report.layout_errors.is_empty(), "{report:#?}");
        report.cases.remove(0)
    };
    // By hand: 105 voxels, of which 4 + 6 are of segment 1 and 9 of segment 3.
    let case = verified(None);
    assert!(case.errors.is_empty(), "{case:#?}");
    assert_eq!(case.label_values, [(0, 86), (1, 10), (3, 9)].into());
    assert_eq!((case.slices, case.labelled_slices), (7, 3));
    let case = verified(Some(3));
    assert_eq!(case.label_values, [(0, 96), (1, 9)].into());
    assert_eq!(case.labelled_slices, 1);
    let case = verified(Some(4));
    assert!(case.errors[0].contains("no segment 4"), "{case:#?}");
}
