use super::*;
use crate::Error;
use crate::preprocess::{LabelRule, PreprocessConfig};
use desam_core::{Affine, Grid, LabelVolume, Quiet, Volume};
use desam_volume::{nifti, volumes};

fn grid() -> Grid {
    Grid {
        dims: [6, 5, 4],
        affine: Affine([[-0.5, 0.0, 0.0, 0.0], [0.0, -0.5, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]]),
    }
}

fn image(seed: usize) -> Volume {
    let values = (0..120).map(|v| ((v * 7 + seed * 31) % 97) as f32 * 3.5 - 20.0);
    Volume::new(grid(), values.collect()).unwrap()
}

/// Foreground on slices 1 and 2.
fn label() -> LabelVolume {
    LabelVolume::new(grid(), (0..120).map(|v| 2 * u8::from((35..80).contains(&v))).collect())
        .unwrap()
}

/// A temporary folder, removed after the test.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Two good sites of two cases.
fn good() -> Scratch {
    let scratch = Scratch::new();
    for (seed, case) in ["A/one", "A/two", "B/one", "B/two"].into_iter().enumerate() {
        std::fs::create_dir_all(scratch.path(&case[..1])).unwrap();
        nifti::write_volume(&scratch.path(&format!("{case}.nii.gz")), &image(seed)).unwrap();
        let path = scratch.path(&format!("{case}_segmentation.nrrd"));
        volumes::write_labels(&path, &label()).unwrap();
    }
    scratch
}

/// Slices as they are, which the small volumes of these tests go through unchanged.
fn options() -> VerifyOptions {
    VerifyOptions {
        preprocess: PreprocessConfig::official(),
        mask_side: 6,
        border_px: 0,
        ..VerifyOptions::default()
    }
}

fn of(scratch: &Scratch) -> VerifyReport {
    verify_with(&scratch.path(""), &options(), &Quiet).unwrap()
}

#[track_caller]
fn assert_one_error(scratch: &Scratch, case: &str, says: &str) {
    let report = of(scratch);
    let errors: Vec<_> = report.errors().collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].starts_with(&format!("{case}: ")), "{errors:#?}");
    assert!(errors[0].contains(says), "{errors:#?}");
    assert!(!report.is_fit());
}

#[test]
fn a_good_data_set_is_described() {
    let report = of(&good());
    assert!(report.is_fit() && report.warnings.is_empty(), "{report:#?}");
    assert_eq!((report.cases.len(), report.sites.len()), (4, 2));
    // By hand: voxels 35 to 79 of slices of 30 are on slices 1 and 2; 45 voxels of 0.75 mm³.
    let case = &report.cases[0];
    assert_eq!((case.slices, case.labelled_slices), (4, 2));
    assert_eq!(case.label_values, [(0, 75), (2, 45)].into());
    assert!((case.foreground_ml.unwrap() - 45.0 * 0.75 / 1000.0).abs() < 1e-9);
    assert_eq!((report.slices(), report.labelled_slices()), (16, 8));
    assert_eq!(report.sites[1].least_spacing_mm, Some([0.5, 0.5, 3.0]));
    assert_eq!(report.sites[1].label_values, [(0, 2), (2, 2)].into());
}

#[test]
fn what_would_make_training_wrong_is_an_error() {
    let scratch = good();
    let write = |name: &str, labels: &LabelVolume| {
        volumes::write_labels(&scratch.path(name), labels).unwrap();
    };
    let restore = || {
        nifti::write_volume(&scratch.path("A/two.nii.gz"), &image(1)).unwrap();
        write("A/two_segmentation.nrrd", &label());
        assert!(of(&scratch).is_fit());
    };
    // Labels elsewhere.
    let mut moved = grid();
    moved.affine.0[2][3] += 2.0;
    write("A/two_segmentation.nrrd", &LabelVolume::new(moved, label().data().to_vec()).unwrap());
    assert_one_error(&scratch, "A/two", "different grid");
    // No foreground.
    write("A/two_segmentation.nrrd", &LabelVolume::new(grid(), vec![0; 120]).unwrap());
    assert_one_error(&scratch, "A/two", "no foreground");
    restore();
    // A label taken for an image.
    write("A/two.nii.gz", &label());
    assert_one_error(&scratch, "A/two", "is it a label");
    // A flat image, and a NaN.
    let flat = Volume::new(grid(), vec![7.5; 120]).unwrap();
    nifti::write_volume(&scratch.path("A/two.nii.gz"), &flat).unwrap();
    assert_one_error(&scratch, "A/two", "flat");
    let mut values = image(1).data().to_vec();
    values[3] = f32::NAN;
    let odd = Volume::new(grid(), values).unwrap();
    nifti::write_volume(&scratch.path("A/two.nii.gz"), &odd).unwrap();
    assert_one_error(&scratch, "A/two", "1 voxels of the image are not finite");
    // The same image twice, packed otherwise.
    nifti::write_volume(&scratch.path("A/two.nii.gz"), &image(2)).unwrap();
    assert_one_error(&scratch, "B/one", "A/two");
    // A file that was cut.
    let path = scratch.path("A/two.nii.gz");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_one_error(&scratch, "A/two", "truncated");
    restore();
    // An image taken for a label.
    std::fs::remove_file(scratch.path("A/two_segmentation.nrrd")).unwrap();
    nifti::write_volume(&scratch.path("A/two_segmentation.nii"), &image(5)).unwrap();
    assert_one_error(&scratch, "A/two", "is no label");
}

#[test]
fn what_is_odd_is_a_warning() {
    let scratch = good();
    let mut mostly = vec![1; 120];
    mostly[0] = 0;
    let mostly = LabelVolume::new(grid(), mostly).unwrap();
    volumes::write_labels(&scratch.path("A/two_segmentation.nrrd"), &mostly).unwrap();
    std::fs::remove_file(scratch.path("B/two.nii.gz")).unwrap();
    std::fs::remove_file(scratch.path("B/two_segmentation.nrrd")).unwrap();
    let report = of(&scratch);
    assert!(report.is_fit());
    assert!(report.cases[1].warnings[0].contains("99 %"), "{report:#?}");
    assert!(report.warnings[0].contains("site B has one case"), "{report:#?}");
}

#[test]
fn everything_wrong_with_a_layout_is_told() {
    let scratch = good();
    // An image without a label, a label without an image, two images of one name; and a fault in a
    // case that is whole.
    std::fs::remove_file(scratch.path("A/one_segmentation.nrrd")).unwrap();
    std::fs::remove_file(scratch.path("B/two.nii.gz")).unwrap();
    nifti::write_volume(&scratch.path("B/One.nii"), &image(7)).unwrap();
    volumes::write_labels(
        &scratch.path("A/two_segmentation.nrrd"),
        &LabelVolume::new(grid(), vec![0; 120]).unwrap(),
    )
    .unwrap();
    let report = of(&scratch);
    let errors: Vec<_> = report.errors().collect();
    assert_eq!((errors.len(), report.layout_errors.len()), (4, 3), "{errors:#?}");
    for (error, words) in errors.iter().zip([
        ["site A, case one", "no label file"],
        ["site B, case one", "claim it"],
        ["site B, case two", "no image"],
        ["A/two: ", "no foreground"],
    ]) {
        assert!(words.iter().all(|w| error.contains(w)), "{words:?}: {errors:#?}");
    }
    assert!(!report.is_fit());
    // What is whole is examined all the same.
    let names: Vec<_> = report.cases.iter().map(|c| c.name()).collect();
    assert_eq!(names, ["A/two", "B/One"]);
    let empty = Scratch::new();
    assert!(matches!(verify_with(&empty.path(""), &options(), &Quiet), Err(Error::NoSites { .. })));
}

#[test]
fn names_that_name_no_file_and_labels_that_are_absent() {
    let scratch = good();
    let rows = "image,label,case,site\nA/one.nii.gz,,x:y,A\n\
                B/one.nii.gz,B/one_segmentation.nrrd,one,B\n";
    let table = scratch.file("cases.csv", rows.as_bytes());
    let report = verify_with(&table, &options(), &Quiet).unwrap();
    let errors: Vec<_> = report.errors().collect();
    assert!(errors.len() == 1 && errors[0].contains("plain file names"), "{errors:#?}");
    assert!(report.cases[0].warnings[0].contains("there is no label"), "{report:#?}");
    // A case without a label among others is only odd; nothing but such is no data to train on.
    let rows = "image,label,case,site\nA/one.nii.gz,,x,A\nB/one.nii.gz,,y,A\n";
    let report =
        verify_with(&scratch.file("cases.csv", rows.as_bytes()), &options(), &Quiet).unwrap();
    assert_eq!(report.layout_errors.len(), 1, "{report:#?}");
    assert!(!report.is_fit() && report.layout_errors[0].contains("no case has a label"));
}

#[test]
fn what_becomes_of_labels_as_masks_is_reported_by_site() {
    let report = of(&good());
    // Slices of 6 × 5 pixels stretched to 6 × 6 and back: every voxel finds its own value again.
    let sites: Vec<_> = report.masks.iter().map(|s| s.round_trip.site.as_str()).collect();
    assert_eq!(sites, ["A", "B"]);
    assert!(report.masks.iter().all(|s| s.round_trip.mean_dice == 1.0 && s.border_share == 0.0));
    assert!(report.warnings.is_empty());

    // A border of one pixel, and a side at which little is left: both are warned of.
    let scratch = good();
    let nearest = PreprocessConfig { labels: LabelRule::Nearest, ..PreprocessConfig::official() };
    let coarse = VerifyOptions {
        preprocess: nearest,
        mask_side: 3,
        border_px: 1,
        ..VerifyOptions::default()
    };
    let report = verify_with(&scratch.path(""), &coarse, &Quiet).unwrap();
    assert!(report.is_fit());
    let case = report.cases[0].masks.unwrap();
    // By hand: masks take columns 1, 3 and 5 of rows 0, 2 and 4. Of slice 1 the label has column 5 of
    // row 0 and all of rows 1 to 4, of slice 2 rows 0 to 2: 1 + 3 + 3 and 3 + 3 pixels, of which the
    // two in the middle are not in the border.
    assert_eq!(case.round_trip.label_voxels, 45);
    assert_eq!((case.mask_pixels, case.border_pixels), (13, 11));
    assert!((report.masks[0].border_share - 11.0 / 13.0).abs() < 1e-12);
    for (site, word) in
        [("site A:", "3 × 3"), ("site A:", "border of 1 of 3"), ("site B:", "3 × 3")]
    {
        let found = report.warnings.iter().any(|w| w.starts_with(site) && w.contains(word));
        assert!(found, "{site} {word}: {:#?}", report.warnings);
    }
    // The official rule takes two columns and a row more off each side.
    let eroded = VerifyOptions { preprocess: PreprocessConfig::official(), ..coarse };
    let eroded = verify_with(&scratch.path(""), &eroded, &Quiet).unwrap();
    let [kept, left] = [&report, &eroded].map(|r| r.masks[0].round_trip.volume_ratio);
    assert!(left < kept, "{left} {kept}");
    assert!(eroded.warnings.iter().any(|w| w.contains("erodes")), "{:#?}", eroded.warnings);
}

#[test]
fn volumes_that_cannot_be_prepared_are_errors() {
    let scratch = good();
    // One column of voxels: no slice of it is an image.
    let line = Grid { dims: [1, 30, 4], ..grid() };
    let values = (0..120).map(|v| v as f32 + 0.5).collect();
    nifti::write_volume(&scratch.path("A/two.nii.gz"), &Volume::new(line, values).unwrap())
        .unwrap();
    let labels = LabelVolume::new(line, label().data().to_vec()).unwrap();
    volumes::write_labels(&scratch.path("A/two_segmentation.nrrd"), &labels).unwrap();
    assert_one_error(&scratch, "A/two", "1 × 30 pixels");
}

/// An image without codes is RAS by the standard and LPS to ITK, whose labels say LPS.
#[test]
fn labels_of_itk_beside_images_without_codes_are_odd_and_no_error() {
    let scratch = good();
    for case in ["A/one", "A/two", "B/one", "B/two"] {
        // qform_code and sform_code of NIfTI-1, which nifti1.h has at 252 and 254.
        let path = scratch.path(&format!("{case}.nii"));
        let packed = scratch.path(&format!("{case}.nii.gz"));
        let volume = nifti::read_volume(&packed).unwrap();
        nifti::write_volume(&path, &volume).unwrap();
        std::fs::remove_file(packed).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[252..256].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let [x, y, z] = volume.grid().spacing();
        let affine = desam_core::Affine::from_spacing([-x, -y, z]);
        let grid = desam_core::Grid { affine, ..*volume.grid() };
        let labels = LabelVolume::new(grid, label().into_data()).unwrap();
        volumes::write_labels(&scratch.path(&format!("{case}_segmentation.nrrd")), &labels)
            .unwrap();
    }
    let report = of(&scratch);
    assert!(report.is_fit(), "{:#?}", report.errors().collect::<Vec<_>>());
    for case in &report.cases {
        assert!(case.warnings.iter().any(|w| w.contains("no orientation")), "{case:#?}");
        assert_eq!(case.label_values, [(0, 75), (2, 45)].into());
    }
    // Where no reading puts them on one grid it stays an error.
    volumes::write_labels(&scratch.path("A/two_segmentation.nrrd"), &{
        let grid = desam_core::Grid {
            affine: desam_core::Affine::from_spacing([-7.0, -7.0, 1.0]),
            ..*label().grid()
        };
        LabelVolume::new(grid, label().into_data()).unwrap()
    })
    .unwrap();
    assert_one_error(&scratch, "A/two", "different grid");
}
