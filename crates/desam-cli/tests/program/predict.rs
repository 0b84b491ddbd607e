//! `desam predict`: post-processing, additional files, resampling, warnings.

use crate::common::{fixture, run};
use desam::data::postprocess::{Holes, PostprocessConfig};
use desam::types::{Grid, LabelVolume, Volume};
use desam::volume::nifti::{read_labels, read_volume, write_volume};
use std::path::{Path, PathBuf};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn additional_files_are_written_only_on_request() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let input = fixture.data.join("A/Case00.nii.gz");
    let [plain, rich] = ["plain", "rich"].map(|n| folder.path().join(n).join("t2.nii.gz"));
    let predict = |mask: &PathBuf| {
        args!["predict", "--model", fixture.run, "--input", input, "--output", mask, "--json"]
    };
    run(predict(&plain)).expect(0);
    assert_eq!(names(&folder.path().join("plain")), ["t2.nii.gz"]);
    let extras = args![
        "--largest-component",
        "--fill-holes",
        "slices",
        "--save-probability",
        "--overlay",
        "0,3",
        "--save-json",
        "--mode",
        "box",
    ];
    let reply = run(predict(&rich).into_iter().chain(extras)).expect(0).json();
    let expected =
        ["t2.json", "t2.nii.gz", "t2.probability.nii.gz", "t2.slice000.png", "t2.slice003.png"];
    assert_eq!(names(&folder.path().join("rich")), expected);
    assert_eq!(reply["done"][0]["files"].as_array().unwrap().len(), 4);
    assert_eq!(reply["options"]["postprocess"]["fill_holes"], "slices");
    let config = PostprocessConfig { largest_component: true, fill_holes: Some(Holes::Slices) };
    let mask = read_labels(&rich).unwrap();
    assert_eq!(mask, config.apply(read_labels(&plain).unwrap(), 2).unwrap());
    let map = read_volume(&rich.with_file_name("t2.probability.nii.gz")).unwrap();
    assert_eq!(map.grid(), mask.grid());
    for picture in ["t2.slice000.png", "t2.slice003.png"] {
        assert!(std::fs::read(rich.with_file_name(picture)).unwrap().starts_with(b"\x89PNG"));
    }
    let text = std::fs::read_to_string(rich.with_file_name("t2.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(facts["volume_ml"], reply["done"][0]["volume_ml"]);
    assert_eq!(facts["dims"], reply["done"][0]["dims"]);
    assert_eq!(facts["settings"]["prompts"]["mode"], "box");
    assert_eq!(facts["model"]["training"]["source"], "A");
    // Box mode does not train the IoU head, so its output is meaningless and left out.
    assert_eq!(facts["model"]["training"]["iou_supervised"], false);
    assert!(facts.get("predicted_iou").is_none() && facts["warnings"].is_array(), "{facts}");
    assert_eq!(facts["model"]["blake3"].as_str().map(str::len), Some(64));
}

#[test]
fn contradictory_flags_are_rejected() {
    let fixture = fixture();
    let mask = fixture.dir.path().join("refused/mask.nii.gz");
    let input = fixture.data.join("A/Case00.nii.gz");
    let predict = |extra: &[&str]| {
        let all = args!["predict", "--model", fixture.run, "--input", input, "--output", mask];
        run(all.into_iter().chain(extra.iter().map(Into::into)))
    };
    // The fixture's phantoms have 5 slices.
    predict(&["--overlay", "2,5"]).fails_with(&["Case00.nii.gz: ", "slice 5", "0 to 4"]);
    // The fixture's model was trained in box mode, which has no grid.
    predict(&["--grid", "5"]).fails_with(&["--grid is for points mode"]);
    predict(&["--grid", "5", "--mode", "box"]).usage_error_with(&["--grid is for points mode"]);
    predict(&["--save-iou-map"]).fails_with(&["trained without a loss on the predicted IoU"]);
    let points = ["--save-iou-map", "--mode", "points"];
    predict(&points).fails_with(&["trained without a loss on the predicted IoU"]);
    assert!(!mask.exists());
    for (extra, word) in [
        (["--overlay", "some"], "3,7,12"),
        (["--fill-holes", "3d"], "slices"),
        (["--overlay", ""], "middle"),
    ] {
        let ended = predict(&extra).expect(2);
        assert!(ended.stderr.contains(word), "{ended:#?}");
    }
}

#[test]
fn volumes_with_the_same_stem_do_not_share_files() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|n| folder.path().join(n));
    std::fs::create_dir(&input).unwrap();
    let volume = fixture.data.join("A/Case00.nii.gz");
    std::fs::copy(&volume, input.join("a.nii.gz")).unwrap();
    // Two mask files, but a single JSON file.
    let unpacked = read_volume(&volume).unwrap();
    desam::volume::nifti::write_volume(&input.join("a.nii"), &unpacked).unwrap();
    let predict = args!["predict", "--model", fixture.run, "--input", input, "--output", output];
    run(predict.clone()).expect(0);
    assert_eq!(names(&output), ["a.nii", "a.nii.gz"]);
    let with_json = predict.into_iter().chain(args!["--save-json", "--force"]);
    let ended = run(with_json).fails_with(&["a.json", "rename one"]);
    assert!(ended.stdout.contains("failed  1"), "{ended:#?}");
}

/// Features made at the paper's spacing have a different cache key, and the masks of a model trained
/// on them are resampled back to the volume's grid.
#[test]
fn resampling_is_part_of_the_cache_key() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("data/A");
    std::fs::create_dir_all(&site).unwrap();
    for case in ["Case00", "Case01"] {
        for end in [".nii.gz", "_segmentation.nii.gz"] {
            let name = format!("{case}{end}");
            std::fs::copy(fixture.data.join("A").join(&name), site.join(&name)).unwrap();
        }
    }
    let cache = |name: &str| folder.path().join(name);
    let embed = |name: &str, extra: &[&str]| {
        let data = folder.path().join("data");
        let out = cache(name);
        let all = args!["embed", "-q", "--data", data, "--out", out, "--encoder", "tiny"];
        run(all.into_iter().chain(extra.iter().map(Into::into)))
    };
    let official = ["--preprocess", "official"];
    let both = ["--preprocess", "official", "--resample", "0.625,0.625,3.6"];
    embed("own", &official).expect(0);
    embed("resampled", &both).expect(0);
    // A cache is not continued at another spacing, nor with the default preset.
    embed("own", &both).expect(1);
    embed("own", &[]).expect(1);
    embed("wrong", &["--resample", "0.625,0,3.6"]).expect(2);
    let recipe = |name: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(cache(name).join("cache.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (own, resampled) = (recipe("own"), recipe("resampled"));
    assert_ne!(own["key"], resampled["key"]);
    assert!(own["key"].is_string());
    let text = resampled.to_string();
    assert!(text.contains(r#""spacing_mm":[0.625,0.625,3.6]"#), "{text}");
    let (source, out) = (cache("resampled"), folder.path().join("run"));
    let train = args![
        "train", "-q", "--cache", source, "--source", "A", "--mode", "box", "--out", out,
        "--epochs", "1", "--split", "last",
    ];
    run(train).expect(0);
    let (input, mask) = (site.join("Case00.nii.gz"), folder.path().join("mask.nii.gz"));
    run(args!["predict", "--model", out, "--input", input, "--output", mask]).expect(0);
    assert_eq!(read_labels(&mask).unwrap().grid(), read_volume(&input).unwrap().grid());
}

/// Centroid of a mask in mm.
fn centroid(mask: &LabelVolume) -> [f64; 3] {
    let [width, height, _] = mask.grid().dims;
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for (at, _) in mask.data().iter().enumerate().filter(|(_, v)| **v > 0) {
        let voxel = [at % width, at / width % height, at / (width * height)];
        sum.iter_mut().zip(voxel).for_each(|(s, v)| *s += v as f64);
        count += 1.0;
    }
    mask.grid().affine.apply(sum.map(|s| s / count))
}

fn holds(grid: &Grid, mm: [f64; 3]) -> bool {
    let voxel = grid.affine.inverse().unwrap().apply(mm);
    voxel.iter().zip(grid.dims).all(|(v, n)| (-0.5..n as f64 - 0.5).contains(v))
}

/// A real oblique series and two masks of its gland by others: our mask overlaps theirs.
#[cfg(feature = "dicom")]
#[test]
#[allow(clippy::print_stdout, reason = "a test that could not run must say so")]
fn a_real_prostate_is_found_where_other_masks_are() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real/ProstateX-0000");
    if !shared.exists() {
        println!("skipped: no real volumes beside the checkout");
        return;
    }
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let axes = |path: &Path| run(args!["info", path, "--json"]).expect(0).json()["axes"].clone();
    for input in ["t2_axial", "t2.nii.gz"] {
        let output = folder.path().join(format!("{input}-mask.nii.gz"));
        let input = shared.join(input);
        let predict = args![
            "predict",
            "--model",
            fixture.run,
            "--input",
            input,
            "--output",
            output,
            "--save-probability",
            "--overlay",
            "middle",
        ];
        run(predict).expect(0);
        let mask = read_labels(&output).unwrap();
        let map = desam::volume::volumes::beside(&output, "probability.nii.gz");
        for gland in ["gland_Bosma22b.nii.gz", "gland_Guerbet23.nii.gz"] {
            let path = shared.join(gland);
            let gland = read_labels(&path).unwrap();
            // All have the same voxel order, so voxels can be compared directly.
            assert_eq!(axes(&output), axes(&path));
            for grid in [*mask.grid(), *read_volume(&map).unwrap().grid()] {
                assert_eq!(grid.dims, gland.grid().dims);
                let cells = grid.affine.0.as_flattened().iter();
                for (a, b) in cells.zip(gland.grid().affine.0.as_flattened()) {
                    assert!((a - b).abs() < 1e-3, "{grid:?} {:?}", gland.grid());
                }
                assert!(holds(&grid, centroid(&gland)), "{grid:?}");
            }
            assert!(holds(
                desam::volume::volumes::read_volume(&input).unwrap().grid(),
                centroid(&gland)
            ));
        }
    }
}

/// Doubtful volumes give a warning: on stderr even with -q, in the JSON and in the volume's report. The
/// mask is written.
#[test]
fn doubtful_volumes_give_warnings() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [input, mask] = ["black.nii.gz", "m.nii.gz"].map(|n| folder.path().join(n));
    let grid = *read_volume(&fixture.data.join("A/Case00.nii.gz")).unwrap().grid();
    let black = Volume::new(grid, vec![0.0; grid.len()]).unwrap();
    write_volume(&input, &black).unwrap();
    let predict =
        args!["predict", "-q", "--model", fixture.run, "--input", input, "--output", mask];
    let ended = run(predict.iter().chain(&args!["--json", "--save-json"])).expect(0);
    let warning = "the image is constant: all its voxels are 0";
    let lines: Vec<&str> = ended.stderr.lines().filter(|l| l.starts_with("warning: ")).collect();
    assert!(lines[0].contains("black.nii.gz") && lines[0].ends_with(warning), "{ended:#?}");
    let json = ended.json();
    for warnings in [&json["warnings"], &json["done"][0]["warnings"]] {
        assert!(warnings[0].as_str().unwrap().ends_with(warning), "{json}");
    }
    let text = std::fs::read_to_string(folder.path().join("m.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(facts["warnings"], json["done"][0]["warnings"]);
    assert_eq!(read_labels(&mask).unwrap().grid(), &grid);

    // Grid points are ranked by the predicted IoU, which box mode does not train.
    let points = args!["--mode", "points", "--grid", "2", "--force"];
    let points = run(predict.iter().chain(&points)).expect(0);
    assert!(points.stderr.contains("warning: grid points are ranked"), "{points:#?}");

    // An impossible image is an error that names the file and the reason.
    let nothing = Volume::new(grid, vec![f32::NAN; grid.len()]).unwrap();
    write_volume(&input, &nothing).unwrap();
    std::fs::remove_file(&mask).unwrap();
    run(predict).fails_with(&["black.nii.gz", "voxels are not finite"]);
    assert!(!mask.exists());
}
