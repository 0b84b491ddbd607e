//! Data sets of DICOM files, whole.

use super::*;
use crate::verify::verify;
use crate::voxels::testing::Scratch;
use crate::{layout, nrrd, volumes};
use desam_core::{LabelVolume, Quiet};

/// Six slices of noise, and of labels in two of them, in folders of their own.
fn write_patient(scratch: &Scratch, image: &str, label: Option<&str>, seed: usize) {
    let images = |z: usize| (0..6).map(|v| ((v * 37 + z * 91 + seed * 53) % 997) as i16).collect();
    let labels = |z: usize| vec![i16::from((2..4).contains(&z)); 6];
    let write = |dir: &str, pixels: &dyn Fn(usize) -> Vec<i16>| {
        std::fs::create_dir_all(scratch.path(dir)).unwrap();
        for z in 0..6 {
            let slice =
                Draft { pixels: pixels(z), series: dir.len().to_string(), ..draft(z as f64) };
            std::fs::write(scratch.path(dir).join(format!("{}.dcm", 9 - z)), slice.bytes())
                .unwrap();
        }
    };
    write(image, &images);
    if let Some(label) = label {
        write(label, &labels);
    }
}

#[test]
fn i2cvbs_labels_are_a_series() {
    let scratch = Scratch::new();
    for (seed, patient) in
        ["GE/Patient 1", "GE/Patient 2", "Siemens/Patient 3", "Siemens/Patient 4"]
            .into_iter()
            .enumerate()
    {
        let [image, label] = ["T2W", "GT/prostate"].map(|end| format!("{patient}/{end}"));
        write_patient(&scratch, &image, Some(&label), seed);
    }
    let report = verify(&scratch.path(""), &Quiet).unwrap();
    assert!(report.is_fit(), "{report:#?}");
    assert_eq!((report.layout, report.cases.len()), (layout::Layout::I2cvb, 4));
    assert_eq!((report.sites[0].site.as_str(), report.labelled_slices()), ("GE", 8));
    // Two slices of six pixels of 0.5 × 0.75 × 1 mm.
    assert!((report.cases[0].foreground_ml - 12.0 * 0.375 / 1000.0).abs() < 1e-9);
    assert_eq!(report.cases[0].label_values, [(0, 24), (1, 12)].into());
    assert_eq!(volumes::files(&scratch.path("GE/Patient 1/GT/prostate")).unwrap().len(), 6);
    // Labels that lack their last slice, as one patient's do, are not taken for the image's.
    std::fs::remove_file(scratch.path("GE/Patient 1/GT/prostate/4.dcm")).unwrap();
    // One from the middle leaves no stack.
    std::fs::remove_file(scratch.path("GE/Patient 2/GT/prostate/6.dcm")).unwrap();
    let report = verify(&scratch.path(""), &Quiet).unwrap();
    let errors: Vec<_> = report.errors().collect();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(
        errors[0].contains("GE/Patient 1") && errors[0].contains("another grid"),
        "{errors:#?}"
    );
    assert!(errors[1].contains("GE/Patient 2") && errors[1].contains("missing"), "{errors:#?}");
}

#[test]
fn nci_isbis_labels_are_nrrd() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path("Training")).unwrap();
    for (seed, id) in
        ["Prostate3T-01-0001", "Prostate3T-01-0002", "ProstateDx-01-0001", "ProstateDx-01-0055"]
            .into_iter()
            .enumerate()
    {
        let series = format!("manifest/{id}/study/series");
        write_patient(&scratch, &series, None, seed);
        let mut grid = *volumes::read_volume(&scratch.path(&series)).unwrap().grid();
        // The case of the release whose labels have fewer slices than its image.
        if id.ends_with("55") {
            grid.dims[2] = 4;
        }
        let labels = LabelVolume::new(grid, (0..grid.len()).map(|v| u8::from(v > 11)).collect());
        let path = scratch.path(&format!("Training/{id}.nrrd"));
        nrrd::write_labels(&path, &labels.unwrap()).unwrap();
    }
    let report = verify(&scratch.path(""), &Quiet).unwrap();
    assert_eq!(report.layout, layout::Layout::NciIsbi2013);
    let sites: Vec<_> = report.sites.iter().map(|s| (s.site.as_str(), s.cases)).collect();
    assert_eq!(sites, [("BMC", 2), ("RUNMC", 2)]);
    let errors: Vec<_> = report.errors().collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("BMC/ProstateDx-01-0055") && errors[0].contains("another grid"));
}
