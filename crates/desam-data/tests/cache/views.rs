//! Style views in a cache: stored beside the slices, drawn in training.

use super::slice_files;
use super::toy::{Bench, ToyEncoder, changed};
use candle_core::Device;
use desam_core::{ClassTable, Dataset, ImageEncoder, Quiet};
use desam_data::Error;
use desam_data::augment::StyleAugment;
use desam_data::cache::{CachedSlices, FeatureCache, FeatureDtype, StyleViews};
use desam_data::embed::{EmbedOptions, Part, embed, embed_part};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn views(augment: &str, count: usize) -> Option<StyleViews> {
    Some(StyleViews::new(augment.parse().unwrap(), count).unwrap())
}

fn with_views(options: EmbedOptions, augment: &str, count: usize) -> EmbedOptions {
    changed(options.with_dtype(FeatureDtype::F32), |o| o.views = views(augment, count))
}

fn run(options: &EmbedOptions) -> desam_data::embed::EmbedSummary {
    embed(options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap()
}

fn embedding(features: &desam_core::ImageFeatures) -> Vec<f32> {
    features.embedding.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn views_are_the_encoded_images_of_their_seeds_and_more_can_be_added() {
    let bench = Bench::new();
    let plain = bench.options("cache").with_dtype(FeatureDtype::F32);
    let slices = run(&plain).slices;
    let two = with_views(bench.options("cache"), "gin", 2);
    let summary = run(&two);
    // The plain features stay; only the views are new.
    assert_eq!((summary.views, summary.computed, summary.reused), (2 * slices, 2 * slices, slices));
    let three = with_views(bench.options("cache"), "gin", 3);
    let summary = run(&three);
    assert_eq!((summary.views, summary.computed, summary.reused), (3 * slices, slices, 3 * slices));

    let cache = FeatureCache::open(&three.dir).unwrap();
    cache.verify(&Quiet).unwrap();
    let encoder = ToyEncoder::new();
    for slice in cache.slices() {
        let stored: Vec<Vec<f32>> = (0..=3)
            .map(|view| embedding(&cache.view_features(slice, view, &Device::Cpu).unwrap()))
            .collect();
        assert_eq!(stored[0], embedding(&cache.features(slice, &Device::Cpu).unwrap()));
        let distinct: BTreeSet<Vec<u32>> =
            stored.iter().map(|v| v.iter().map(|v| v.to_bits()).collect()).collect();
        assert_eq!(distinct.len(), 4);
        let (image, rule) = (cache.image(slice).unwrap(), cache.header().views.clone().unwrap());
        for (view, stored) in stored.iter().enumerate().skip(1) {
            let hash = &cache.cases()[slice.case].image_blake3;
            let changed = rule.augment.image(&image, rule.view_seed(hash, slice.z, view));
            let pixels = changed.pixels(64, &Device::Cpu).unwrap();
            assert_eq!(stored, &embedding(&encoder.encode(&pixels).unwrap()));
        }
        let missing = cache.view_features(slice, 4, &Device::Cpu).unwrap_err();
        assert!(matches!(missing, Error::ViewNotStored { view: 4, views: 3, .. }), "{missing}");
    }
}

#[test]
fn the_same_views_have_the_same_bytes_whatever_the_order_and_the_parts() {
    let bench = Bench::new();
    let whole = with_views(bench.options("whole"), "paper,gin", 2);
    run(&whole);
    let parts = with_views(bench.options("parts"), "paper,gin", 2);
    for index in [1, 0] {
        let part = Part::new(index, 2).unwrap();
        embed_part(&parts, part, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    }
    let bytes = |dir: &Path| -> Vec<Vec<u8>> {
        slice_files(dir).iter().map(|file| std::fs::read(file).unwrap()).collect()
    };
    assert_eq!(bytes(&whole.dir), bytes(&parts.dir));
    let header = |dir: &Path| std::fs::read(dir.join("cache.json")).unwrap();
    assert_eq!(header(&whole.dir), header(&parts.dir));
    // Another part with other views would not fit.
    let other = with_views(bench.options("others"), "gin", 1);
    let part = |index| Part::new(index, 2).unwrap();
    embed_part(&other, part(0), &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let other = with_views(bench.options("others"), "bias", 1);
    let error = embed_part(&other, part(1), &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap_err();
    assert!(error.to_string().contains("bias"), "{error}");
}

#[test]
fn other_rules_make_other_views_and_the_slices_stay() {
    let bench = Bench::new();
    let slices = run(&with_views(bench.options("cache"), "gin", 1)).slices;
    for (other, seed) in [("bias", 0), ("bias", 1)] {
        let mut options = with_views(bench.options("cache"), other, 1);
        options.views = options.views.map(|views| views.with_seed(seed));
        let summary = run(&options);
        assert_eq!((summary.computed, summary.reused), (slices, slices), "{other} {seed}");
    }
    // Without views the cache is the plain one; files of views lie there unread.
    let plain = bench.options("cache").with_dtype(FeatureDtype::F32);
    assert_eq!(run(&plain).computed, 0);
    let cache = FeatureCache::open(&plain.dir).unwrap();
    assert_eq!(cache.views(0).unwrap(), 0);
    assert_eq!(slice_files(&plain.dir).len(), 2 * slices);
}

#[test]
fn only_the_sites_that_were_named_get_views() {
    let bench = Bench::new();
    let mut options = with_views(bench.options("cache"), "gin", 2);
    options.views = options.views.map(|v| v.with_sites(Some(vec!["south".into()])));
    run(&options);
    let cache = FeatureCache::open(&options.dir).unwrap();
    for (n, case) in cache.cases().iter().enumerate() {
        let expected = if case.site == "south" { 2 } else { 0 };
        assert_eq!(cache.views(n).unwrap(), expected, "{case:?}");
    }
    options.views = options.views.map(|v| v.with_sites(Some(vec!["west".into()])));
    let error = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap_err();
    assert!(matches!(&error, Error::ViewSite { site, .. } if site == "west"), "{error}");
    let gin: StyleAugment = "gin".parse().unwrap();
    for count in [0, 65, usize::MAX] {
        assert!(matches!(StyleViews::new(gin.clone(), count), Err(Error::ViewCount { .. })));
    }
}

#[test]
fn training_draws_every_view_and_validation_the_slice_as_it_is() {
    let bench = Bench::new();
    let options = with_views(bench.options("cache"), "paper", 2);
    run(&options);
    let cache = Arc::new(FeatureCache::open(&options.dir).unwrap());
    let slice = cache.slices()[0];
    let data = CachedSlices::of(Arc::clone(&cache), vec![slice], &Device::Cpu);
    let (classes, plain) = (ClassTable::default(), embedding(&data.get(0).unwrap().features));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert_eq!(embedding(&data.draw(0, &mut rng).unwrap().features), plain);

    let data = data.with_views();
    assert_eq!(embedding(&data.get(0).unwrap().features), plain);
    let expected: Vec<_> = (0..=2)
        .map(|view| {
            let features = cache.view_features(&slice, view, &Device::Cpu).unwrap();
            (embedding(&features), cache.view_class_mask(&slice, view, &classes).unwrap())
        })
        .collect();
    // Validation alternates, calibration takes all.
    let slices = cache.slices().to_vec();
    let of = |slices| CachedSlices::of(Arc::clone(&cache), slices, &Device::Cpu);
    let alternating = of(slices.clone()).in_alternating_views().unwrap();
    assert_eq!(alternating.len(), slices.len());
    let views = |data: &CachedSlices| -> Vec<usize> {
        (0..data.len()).map(|n| data.get(n).unwrap().view).collect()
    };
    assert_eq!(views(&alternating)[..5], [0, 1, 2, 0, 1]);
    let all = of(slices[..2].to_vec()).in_every_view().unwrap();
    assert_eq!(views(&all), [0, 1, 2, 0, 1, 2]);
    // The mask moves with the image.
    assert!(expected[1].1 != expected[0].1 && !expected[1].1.is_empty());
    let mut seen = [0; 3];
    for _ in 0..60 {
        let drawn = data.draw(0, &mut rng).unwrap();
        let drawn = (embedding(&drawn.features), drawn.mask);
        let view = expected.iter().position(|e| *e == drawn).expect("a view that is stored");
        seen[view] += 1;
    }
    // Of 60 even draws of three, each at least five but for once in 10⁶ times.
    assert!(seen.iter().all(|count| *count >= 5), "{seen:?}");
}

#[test]
fn a_missing_or_damaged_view_is_named() {
    let bench = Bench::new();
    let options = with_views(bench.options("cache"), "gin", 1);
    let summary = run(&options);
    let view = slice_files(&options.dir).into_iter().find(|f| f.to_str().unwrap().contains("view"));
    let view = view.unwrap();
    super::flip_last_byte(&view);
    let message = FeatureCache::open(&options.dir).unwrap().verify(&Quiet).unwrap_err().to_string();
    assert!(message.contains(view.file_name().unwrap().to_str().unwrap()), "{message}");
    std::fs::remove_file(&view).unwrap();
    let error = FeatureCache::open(&options.dir).unwrap_err();
    let all = summary.slices + summary.views;
    let Error::CacheIncomplete { present, expected, missing, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(present, expected - 1);
    assert!(expected > all && view.ends_with(&missing), "{missing}");
    // The next run mends it, and nothing else.
    assert_eq!(run(&options).computed, 1);
    FeatureCache::open(&options.dir).unwrap().verify(&Quiet).unwrap();
}

#[test]
fn a_run_that_is_interrupted_while_it_adds_views_leaves_the_plain_features_usable() {
    let bench = Bench::new();
    let plain = bench.options("cache").with_dtype(FeatureDtype::F32);
    let slices = run(&plain).slices;
    let adding = with_views(bench.options("cache"), "gin", 2);
    embed(&adding, &ToyEncoder::failing_after(slices), &Device::Cpu, &Quiet).unwrap_err();
    let cache = FeatureCache::open(&plain.dir).unwrap();
    cache.verify(&Quiet).unwrap();
    assert_eq!(cache.describe_views(&[0, 1]), "none");
    assert_eq!(run(&adding).computed, slices);
    let cache = FeatureCache::open(&plain.dir).unwrap();
    assert_eq!(cache.describe_views(&[0, 1]), "gin (seed 0), 2 of each slice");
}

/// Keeps warnings.
#[derive(Default)]
struct Warnings(std::sync::Mutex<Vec<String>>);

impl desam_core::Progress for Warnings {
    fn begin(&self, _task: &str, _steps: u64) {}
    fn advance(&self, _steps: u64, _note: &str) {}
    fn finish(&self, _summary: &str) {}
    fn say(&self, _message: &str) {}
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn views_that_are_replaced_or_left_out_are_named() {
    let bench = Bench::new();
    run(&with_views(bench.options("cache"), "gin", 2));
    let warnings = |options: &EmbedOptions| {
        let heard = Warnings::default();
        embed(options, &ToyEncoder::new(), &Device::Cpu, &heard).unwrap();
        heard
            .0
            .into_inner()
            .unwrap()
            .into_iter()
            .filter(|w| w.contains("views"))
            .collect::<Vec<_>>()
    };
    assert!(warnings(&with_views(bench.options("cache"), "gin", 3)).is_empty());
    let mut one_site = with_views(bench.options("cache"), "gin", 3);
    one_site.views = one_site.views.map(|v| v.with_sites(Some(vec!["south".into()])));
    let plain = bench.options("cache").with_dtype(FeatureDtype::F32);
    for (options, words) in [
        (
            with_views(bench.options("cache"), "gin", 1),
            "fewer style views gin (seed 0) of north, south",
        ),
        (one_site, "fewer style views gin (seed 0) of north"),
        (with_views(bench.options("cache"), "bias", 1), "of south are replaced by bias (seed 0)"),
        (plain, "none of the style views bias (seed 0) of north, south are requested"),
    ] {
        let heard = warnings(&options);
        assert!(heard.len() == 1 && heard[0].contains(words), "{words}: {heard:?}");
    }
    let nothing = with_views(bench.options("none"), "gin", 1)
        .with_slices(desam_data::cache::SlicePolicy::None);
    let error = embed(&nothing, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap_err();
    assert!(matches!(error, Error::ViewsOfNothing), "{error}");
}
