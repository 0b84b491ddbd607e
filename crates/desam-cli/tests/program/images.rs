//! Two-dimensional images: the whole workflow on colour images of two sites, and on photographs.

use crate::common::run;
use desam::data::cache::FeatureCache;
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

const SIZE: [u32; 2] = [72, 56];

/// Whether a pixel is in a disc whose place depends on the image.
fn inside(n: u32, x: u32, y: u32) -> bool {
    let [dx, dy] = [x as f64 - 30.0 - f64::from(n), y as f64 - 26.0];
    dx * dx + dy * dy < 150.0
}

/// A red disc on a ground of green and blue.
fn photograph(n: u32) -> RgbImage {
    RgbImage::from_fn(SIZE[0], SIZE[1], |x, y| {
        let ground = ((x * 7 + y * 13 + n * 29) % 60) as u8;
        if inside(n, x, y) { Rgb([220 - ground, 60, 40]) } else { Rgb([30, 120 + ground, 140]) }
    })
}

fn mask(n: u32) -> GrayImage {
    GrayImage::from_fn(SIZE[0], SIZE[1], |x, y| Luma([if inside(n, x, y) { 255 } else { 0 }]))
}

/// Images of two sites, their features, and a model of the first.
struct Images {
    dir: TempDir,
    data: PathBuf,
    cache: PathBuf,
    run: PathBuf,
}

fn images() -> &'static Images {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let [data, cache, out] = ["data", "cache", "run"].map(|n| dir.path().join(n));
        for (site, ending) in [("Leeds", "png"), ("Oslo", "jpg")] {
            for folder in ["images", "masks"] {
                std::fs::create_dir_all(data.join(site).join(folder)).unwrap();
            }
            for n in 0..3 {
                let site = data.join(site);
                photograph(n).save(site.join(format!("images/eye{n}.{ending}"))).unwrap();
                mask(n).save(site.join(format!("masks/eye{n}_disc.png"))).unwrap();
            }
        }
        let embed =
            args!["embed", "--data", data, "--out", cache, "--encoder", "tiny", "--slices", "all"];
        let embedded = run(embed).expect(0);
        assert!(!embedded.stderr.contains("millimetres"), "{}", embedded.stderr);
        let train = args![
            "train", "-q", "--cache", cache, "--source", "Leeds", "--mode", "points", "--out", out,
            "--epochs", "1", "--lr", "1e-3", "--split", "last",
        ];
        run(train).expect(0);
        Images { data, cache, run: out, dir }
    })
}

#[test]
fn a_data_set_of_images_is_verified_and_cached_in_colour() {
    let Images { data, cache, .. } = images();
    let facts = run(args!["verify", "--data", data, "--json"]).expect(0).json();
    assert_eq!((facts["layout"].as_str(), facts["fit"].as_bool()), (Some("images"), Some(true)));
    assert_eq!(facts["cases"].as_array().unwrap().len(), 6);
    let case = &facts["cases"][0];
    assert_eq!(case["dims"], serde_json::json!([72, 56, 1]));
    assert!(case["spacing_mm"].is_null() && case.get("foreground_ml").is_none(), "{case}");
    assert_eq!(case["warnings"].as_array().unwrap().len(), 0);
    let text = run(args!["verify", "--data", data]).expect(0).stdout;
    assert!(text.contains("72×56 px  PNG  labels {0,255}") && !text.contains(" ml"), "{text}");

    let cache = FeatureCache::open(cache).unwrap();
    let preprocess = serde_json::to_value(&cache.header().recipe.preprocess).unwrap();
    assert_eq!(preprocess["frame"], "input_side");
    let slice = cache.case_slices(0)[0];
    let image = cache.image(&slice).unwrap();
    // tiny's input has 256 pixels a side.
    assert_eq!((image.side, image.channels().len()), (256, 3));
    let means = image.channels().map(|c| c.iter().map(|v| u32::from(*v)).sum::<u32>() / 65536);
    let expected = [0, 1, 2].map(|c| {
        let all = photograph(0).pixels().map(|p| u32::from(p.0[c])).sum::<u32>();
        all / (SIZE[0] * SIZE[1])
    });
    // Stretching keeps the mean up to the rim, where the outside is black.
    for (found, expected) in means.zip(expected) {
        assert!(found.abs_diff(expected) < 8, "{found} {expected}");
    }
}

#[test]
fn millimetres_of_images_are_pixels_and_said_to_be() {
    let Images { dir, cache, run: model, .. } = images();
    let score = |more: &[&str], name: &str| {
        let json = dir.path().join(name);
        let base = args!["evaluate", "--cache", cache, "--run", model, "--force", "--json", json];
        let more = more.iter().map(|word| std::ffi::OsStr::new(word).to_owned());
        (run(base.into_iter().chain(more)).expect(0).stderr, json)
    };
    let (said, _) = score(&["--border", "0"], "dice.json");
    assert!(!said.contains("millimetres"), "{said}");
    let (said, json) = score(&["--metrics", "hd95", "--protocol", "full"], "hd95.json");
    assert!(said.contains("has no millimetres: distances are in its pixels"), "{said}");
    let scores: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(scores["cases"][0]["grid"]["spacing_mm"], serde_json::json!([1.0, 1.0, 1.0]));
    let embed = args![
        "embed",
        "--data",
        images().data,
        "--out",
        dir.path().join("paper"),
        "--encoder",
        "tiny",
        "--preprocess",
        "paper",
    ];
    let said = run(embed).expect(0).stderr;
    assert!(said.contains("eye0.png: an image has no millimetres"), "{said}");
}

#[test]
fn masks_are_images_in_the_kind_of_their_images() {
    let Images { dir, run: model, .. } = images();
    let folder = dir.path().join("photos");
    std::fs::create_dir(&folder).unwrap();
    let deep = DynamicImage::from(photograph(1)).into_rgb16();
    photograph(0).save(folder.join("a.jpg")).unwrap();
    DynamicImage::ImageRgb16(deep).save(folder.join("b.tif")).unwrap();
    DynamicImage::from(photograph(2)).to_luma8().save(folder.join("c.bmp")).unwrap();
    let out = dir.path().join("masks");
    let predict = args![
        "predict",
        "--model",
        model,
        "--input",
        folder,
        "--output",
        out,
        "--save-json",
        "--save-probability",
        "--save-iou-map",
        "--overlay",
        "all",
        "--json",
    ];
    let reply = run(predict).expect(0).json();
    assert_eq!(reply["done"].as_array().unwrap().len(), 3);
    for (n, name) in ["a.png", "b.tif", "c.png"].into_iter().enumerate() {
        let mask = image::open(out.join(name)).unwrap();
        assert_eq!((mask.width(), mask.height()), (SIZE[0], SIZE[1]));
        let DynamicImage::ImageLuma8(mask) = mask else { panic!("{name}: {mask:?}") };
        assert!(mask.pixels().all(|p| p.0[0] == 0 || p.0[0] == 255));
        let found = mask.pixels().filter(|p| p.0[0] == 255).count();
        let done = &reply["done"][n];
        assert_eq!(done["area_px2"], found);
        assert!(done.get("volume_ml").is_none());
        let stem = &name[..1];
        let text = std::fs::read_to_string(out.join(format!("{stem}.json"))).unwrap();
        for absent in ["volume_ml", "spacing_mm\": [\n    1", "min_mm", "affine"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
        let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&facts["voxels"], &facts["area_px2"]), (&found.into(), &found.into()));
        for map in ["probability", "iou"] {
            assert!(out.join(format!("{stem}.{map}.tif")).is_file());
        }
        let overlay = image::open(out.join(format!("{stem}.slice000.png"))).unwrap().into_rgb8();
        let is_gray = overlay.pixels().all(|p| {
            p.0 == desam::render::PREDICTION_RGB || (p.0[0] == p.0[1] && p.0[1] == p.0[2])
        });
        assert_eq!(is_gray, stem == "c", "{name}");
    }
    let one = args!["predict", "--model", model, "--input", folder.join("a.jpg"), "--output"];
    let to = |name: &str| {
        let out = std::ffi::OsStr::new(&dir.path().join(name)).to_owned();
        run(one.clone().into_iter().chain([out]))
    };
    let said = to("one.png").expect(0).stdout;
    assert!(said.contains("px²") && !said.contains("slices"), "{said}");
    to("one.jpg").fails_with(&["one.jpg", "JPEG changes the values of a mask", ".png"]);
    to("one.nii.gz").expect(0);
    let again = args!["predict", "--model", model, "--input", folder, "--output", out];
    run(again).fails_with(&["3 of the files to write already exist"]);
}

#[test]
fn an_image_is_described() {
    let Images { data, .. } = images();
    let path = data.join("Leeds/images/eye0.png");
    let text = run(args!["info", path]).expect(0).stdout;
    assert!(
        text.contains("72 × 56 pixels") && text.contains("colour") && !text.contains("mm"),
        "{text}"
    );
    let facts = run(args!["info", path, "--json"]).expect(0).json();
    assert_eq!((facts["kind"].as_str(), facts["format"].as_str()), (Some("image"), Some("png")));
    assert_eq!(facts["channels"]["blue"]["value_max"], 140.0);
    let facts = run(args!["info", data, "--json"]).expect(0).json();
    assert_eq!((facts["layout"].as_str(), facts["cases"].as_u64()), (Some("images"), Some(6)));
}

#[test]
fn pictures_next_to_volumes_are_not_segmented() {
    let Images { dir, run: model, .. } = images();
    let folder = dir.path().join("mixed");
    std::fs::create_dir(&folder).unwrap();
    let fixture = crate::common::fixture();
    std::fs::copy(fixture.data.join("A/Case00.nii.gz"), folder.join("t2.nii.gz")).unwrap();
    mask(0).save(folder.join("preview.png")).unwrap();
    let out = dir.path().join("mixed masks");
    let predict = args!["predict", "--model", model, "--input", folder, "--output", out];
    let said = run(predict).expect(0).stderr;
    assert!(said.contains("preview.png"), "{said}");
    assert!(out.join("t2.nii.gz").is_file() && !out.join("preview.png").exists());
    let of_volume = args![
        "predict",
        "--model",
        model,
        "--input",
        folder.join("t2.nii.gz"),
        "--output",
        dir.path().join("t2.png"),
    ];
    run(of_volume).fails_with(&["t2.png", "an image holds one slice"]);
}

#[test]
fn a_broken_image_is_named_and_the_others_are_segmented() {
    let Images { dir, run: model, .. } = images();
    let folder = dir.path().join("broken");
    std::fs::create_dir(&folder).unwrap();
    photograph(0).save(folder.join("a.png")).unwrap();
    let bytes = std::fs::read(folder.join("a.png")).unwrap();
    std::fs::write(folder.join("b.png"), &bytes[..bytes.len() / 2]).unwrap();
    let out = dir.path().join("broken masks");
    let predict = args!["predict", "--model", model, "--input", folder, "--output", out];
    run(predict).fails_with(&["b.png"]);
    assert!(out.join("a.png").is_file() && !out.join("b.png").exists());
}

/// Photographs of retinas with masks of their vessels (CHASE_DB1), where they lie beside the checkout.
#[test]
#[allow(clippy::print_stdout, reason = "a test that could not run must say so")]
fn photographs_of_retinas() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real/fundus");
    if !data.exists() {
        println!("skipped: no photographs beside the checkout");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [cache, out, masks] = ["cache", "run", "masks"].map(|n| dir.path().join(n));
    let facts = run(args!["verify", "--data", data, "--json"]).expect(0).json();
    // Its README: eight colour photographs of 999 × 960 pixels.
    assert_eq!((facts["cases"].as_array().unwrap().len(), facts["fit"].as_bool()), (8, Some(true)));
    assert_eq!(facts["cases"][0]["dims"], serde_json::json!([999, 960, 1]));
    run(args!["embed", "--data", data, "--out", cache, "--encoder", "tiny"]).expect(0);
    let train = args![
        "train", "--cache", cache, "--source", "fundus", "--mode", "box", "--out", out, "--epochs",
        "1",
    ];
    run(train).expect(0);
    run(args!["evaluate", "--cache", cache, "--run", out]).expect(0);
    let predict = args![
        "predict",
        "--model",
        out,
        "--input",
        data.join("images"),
        "--output",
        masks,
        "--json"
    ];
    let reply = run(predict).expect(0).json();
    assert_eq!(reply["done"].as_array().unwrap().len(), 8);
    let mask = image::open(masks.join("Image_01L.png")).unwrap();
    assert_eq!((mask.width(), mask.height()), (999, 960));
}
