//! The feature cache from volumes on the disk to training samples, with a toy encoder whose
//! features can be worked out by hand.

// A helper that cannot set a test up should end it.
#![allow(clippy::unwrap_used)]

#[path = "cache/classes.rs"]
mod classes;
mod toy;
#[path = "cache/views.rs"]
mod views;

use candle_core::{DType, Device};
use desam_core::{BinaryMask, Dataset, ImageEncoder, LabelMask, Quiet};
use desam_data::Error;
use desam_data::augment::FeatureAugment;
use desam_data::cache::{
    CachedSlice, CachedSlices, FeatureCache, FeatureDtype, PreloadedSlices, SlicePolicy,
};
use desam_data::embed::embed;
use desam_volume::nifti;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toy::{Bench, ToyEncoder, changed};

fn slice_files(cache: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![cache.join("features")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Number of files with the images and masks of a case.
fn case_files(cache: &Path) -> usize {
    let sites = std::fs::read_dir(cache.join("cases")).unwrap();
    let files = |site: &Path| std::fs::read_dir(site).unwrap().map(|f| f.unwrap().path());
    let files = sites.flat_map(|site| files(&site.unwrap().path()).collect::<Vec<_>>());
    files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).count()
}

fn flip_last_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn features_come_back_exactly_in_f32_and_rounded_in_f16() {
    let bench = Bench::new();
    for (dtype, relative) in [(FeatureDtype::F32, 0.0), (FeatureDtype::F16, 2f32.powi(-11))] {
        let encoder = ToyEncoder::new();
        let mut options = bench.options(&format!("cache-{dtype}"));
        options.dtype = dtype;
        options.slices = SlicePolicy::All;
        let summary = embed(&options, &encoder, &Device::Cpu, &Quiet).unwrap();
        assert_eq!(summary.computed, encoder.calls());
        assert_eq!(summary.slices, summary.computed);

        let cache = FeatureCache::open(&options.dir).unwrap();
        cache.verify(&Quiet).unwrap();
        assert_eq!(cache.sites(), ["north", "south"]);
        assert_eq!(cache.slices().len(), summary.slices);
        for slice in cache.slices() {
            let case = &cache.cases()[slice.case];
            let volume = nifti::read_volume(&cache.image_path(slice.case).unwrap()).unwrap();
            let prepared = options.preprocess.prepare(&volume, encoder.spec()).unwrap();
            let pixels = prepared.pixels(slice.z, &Device::Cpu).unwrap();
            let expected = encoder.encode(&pixels).unwrap();
            let found = cache.features(slice, &Device::Cpu).unwrap();
            assert_eq!(found.taps.len(), 3);
            let pairs = expected.taps.iter().zip(&found.taps);
            for (e, f) in pairs.chain([(&expected.embedding, &found.embedding)]) {
                assert_eq!(e.dims(), f.dims());
                let e = e.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let f = f.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (e, f) in e.iter().zip(&f) {
                    // IEEE half precision: half a unit in the last of 11 bits; below 2^-14 the
                    // numbers are evenly 2^-24 apart.
                    assert!((e - f).abs() <= (relative * e.abs()).max(relative * 2f32.powi(-14)));
                }
            }
            assert_eq!(cache.image(slice).unwrap(), prepared.image(slice.z).unwrap());
            let labels = nifti::read_labels(&cache.label_path(slice.case).unwrap()).unwrap();
            let masks = prepared.labels(&labels).unwrap();
            let masks: Vec<BinaryMask> = masks.iter().map(LabelMask::foreground).collect();
            assert_eq!(cache.mask(slice).unwrap(), masks[slice.z]);
            assert_eq!(slice.labelled, !masks[slice.z].is_empty(), "{}", case.id);
            assert_eq!(cache.case_masks(slice.case).unwrap(), masks);
        }
    }
}

#[test]
fn features_as_stored_and_kept_are_the_same_numbers() {
    let bench = Bench::new();
    for dtype in [FeatureDtype::F16, FeatureDtype::F32] {
        let options = changed(bench.options(&dtype.to_string()), |c| c.dtype = dtype);
        embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
        let cache = Arc::new(FeatureCache::open(&options.dir).unwrap());
        let plain = CachedSlices::new(cache, &[0, 2], &Device::Cpu).unwrap();
        let stored = plain.clone().as_stored();
        let kept = PreloadedSlices::new(&stored, &Device::Cpu, &Quiet).unwrap();
        assert!(plain.len() > 1 && kept.len() == plain.len());
        let numbers = |slice: &CachedSlice, expected: DType| -> Vec<f32> {
            let all = slice.features.taps.iter().chain([&slice.features.embedding]);
            all.flat_map(|map| {
                assert_eq!(map.dtype(), expected);
                let single = map.to_dtype(DType::F32).unwrap();
                single.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            })
            .collect()
        };
        let narrow = if dtype == FeatureDtype::F16 { DType::F16 } else { DType::F32 };
        for index in 0..plain.len() {
            let rng = &mut ChaCha8Rng::seed_from_u64(1);
            let expected = plain.get(index).unwrap();
            let drawn = [stored.draw(index, rng), kept.draw(index, rng), kept.get(index)];
            for slice in drawn.map(Result::unwrap) {
                assert_eq!((slice.case, slice.z), (expected.case, expected.z));
                assert_eq!(slice.mask, expected.mask);
                assert!(numbers(&slice, narrow) == numbers(&expected, DType::F32));
            }
        }
        assert!(kept.get(kept.len()).is_err());

        // What is changed at random is changed alike.
        let augment = FeatureAugment::regular();
        let [a, b] = [plain, stored].map(|set| {
            let rng = &mut ChaCha8Rng::seed_from_u64(1);
            set.augmented(augment).unwrap().draw(1, rng).unwrap()
        });
        assert!(a.mask == b.mask && numbers(&a, DType::F32) == numbers(&b, DType::F32));
    }
}

#[test]
fn the_data_set_holds_labelled_slices_only() {
    let bench = Bench::new();
    let mut options = bench.options("all");
    options.slices = SlicePolicy::All;
    let all = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let labelled = bench.options("labelled");
    let fewer = embed(&labelled, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert!(fewer.slices < all.slices && fewer.slices > 0);

    for options in [options, labelled] {
        let cache = Arc::new(FeatureCache::open(&options.dir).unwrap());
        let every: Vec<usize> = (0..cache.cases().len()).collect();
        let set = CachedSlices::new(cache.clone(), &every, &Device::Cpu).unwrap();
        assert_eq!(set.len(), fewer.slices);
        let one = CachedSlices::new(cache.clone(), &cache.site_cases("south")[1..], &Device::Cpu);
        let one = one.unwrap();
        assert!(one.len() > 0 && one.len() < set.len());
        for index in 0..one.len() {
            let item = one.get(index).unwrap();
            assert_eq!(item.case, 3);
            assert!(!item.mask.is_empty());
            assert_eq!(item.features.batch().unwrap(), 1);
        }
        assert!(one.get(one.len()).is_err());
        assert!(CachedSlices::new(cache, &[4], &Device::Cpu).is_err());
    }
}

#[test]
fn what_is_missing_or_damaged_is_made_anew_and_nothing_else() {
    let bench = Bench::new();
    let options = bench.options("cache");
    let first = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let pristine: Vec<_> =
        slice_files(&options.dir).iter().map(|p| std::fs::read(p).unwrap()).collect();

    let rerun = || {
        let encoder = ToyEncoder::new();
        let summary = embed(&options, &encoder, &Device::Cpu, &Quiet).unwrap();
        assert_eq!(summary.computed, encoder.calls());
        assert_eq!(summary.computed + summary.reused, first.slices);
        assert_eq!(summary.bytes, first.bytes);
        let cache = FeatureCache::open(&options.dir).unwrap();
        cache.verify(&Quiet).unwrap();
        let now: Vec<_> =
            slice_files(&options.dir).iter().map(|p| std::fs::read(p).unwrap()).collect();
        assert!(now == pristine);
        summary.computed
    };
    assert_eq!(rerun(), 0);

    let files = slice_files(&options.dir);
    let half = files.iter().step_by(2).map(|f| std::fs::remove_file(f).unwrap()).count();
    match FeatureCache::open(&options.dir) {
        Err(Error::CacheIncomplete { present, expected, .. }) => {
            // The files of the cases, which hold images and masks, are there.
            let cases = case_files(&options.dir);
            assert_eq!((present, expected), (files.len() - half + cases, files.len() + cases));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rerun(), half);

    // A flipped bit: the lengths are right, so opening is fine, but reading it all is not.
    flip_last_byte(&files[1]);
    let cache = FeatureCache::open(&options.dir).unwrap();
    match cache.verify(&Quiet) {
        Err(Error::CacheDamaged { damaged, .. }) => {
            assert_eq!(damaged.len(), 1);
            assert!(damaged[0].contains(files[1].to_str().unwrap()), "{damaged:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rerun(), 1);

    let bytes = std::fs::read(&files[2]).unwrap();
    std::fs::write(&files[2], &bytes[..bytes.len() - 7]).unwrap();
    let error = FeatureCache::open(&options.dir).unwrap_err();
    assert!(
        matches!(&error, Error::CacheEntryTruncated { path, expected, found }
        if *path == files[2] && *expected == found + 7),
        "{error}"
    );
    assert!(cache.features(&cache.slices()[2], &Device::Cpu).is_err());
    assert_eq!(rerun(), 1);

    // The features of another slice under this slice's name.
    std::fs::copy(&files[3], &files[0]).unwrap();
    let error = FeatureCache::open(&options.dir).unwrap_err();
    assert!(
        matches!(&error, Error::CacheEntryStale { path, what: "source hash", .. }
        if *path == files[0]),
        "{error}"
    );
    assert_eq!(rerun(), 1);

    // Images and masks are sealed likewise, and their loss costs no encoding.
    let case = options.dir.join("cases/north/Case00.safetensors");
    flip_last_byte(&case);
    assert!(cache.verify(&Quiet).is_err());
    assert_eq!(rerun(), 0);
    std::fs::remove_file(&case).unwrap();
    let error = FeatureCache::open(&options.dir).unwrap_err();
    let all = files.len() + case_files(&options.dir) + 1;
    let words = format!(
        "{} of {all} files are there, the first missing is cases/north/Case00.safetensors",
        all - 1
    );
    assert!(error.to_string().contains(&words), "{error}");
    assert_eq!(rerun(), 0);
}

#[test]
fn numbers_are_compared_when_they_are_first_read() {
    let bench = Bench::new();
    let options = bench.options("cache");
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let files = slice_files(&options.dir);
    let cache = FeatureCache::open(&options.dir).unwrap();
    let slice = cache.slices()[1];
    let intact = cache.clone();
    intact.features(&slice, &Device::Cpu).unwrap();
    flip_last_byte(&files[1]);
    // Once a process, a clone included: this is the stated limit, and what makes later epochs free.
    cache.features(&slice, &Device::Cpu).unwrap();
    let later = FeatureCache::open(&options.dir).unwrap();
    // One that failed is compared again.
    for _ in 0..2 {
        for error in [
            later.features(&slice, &Device::Cpu).unwrap_err(),
            later.stored_features(&slice, &Device::Cpu).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::CacheEntryCorrupt { path, .. } if *path == files[1]),
                "{error}"
            );
        }
    }
    later.features(&cache.slices()[0], &Device::Cpu).unwrap();

    let pages = options.dir.join("cases/north/Case00.safetensors");
    flip_last_byte(&pages);
    let slice = cache.slices()[0];
    let errors = [
        later.mask(&slice).unwrap_err(),
        later.image(&slice).unwrap_err(),
        later.case_masks(slice.case).unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(&error, Error::CacheEntryCorrupt { path, .. } if *path == pages),
            "{error}"
        );
    }
}

/// Replaces the numbers at `place` of a slice file's first tensor, and its checksum with them.
fn reseal(path: &Path, place: usize, number: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let names = ["tap0", "tap1", "tap2", "embedding"];
    let range = |name: &str| {
        let at = |n: usize| header[name]["data_offsets"][n].as_u64().unwrap() as usize;
        8 + length + at(0)..8 + length + at(1)
    };
    let start = range("tap0").start + place * number.len();
    bytes[start..start + number.len()].copy_from_slice(number);
    // As the format has it: name, zero, length in bytes, numbers, tensor by tensor.
    let mut hasher = blake3::Hasher::new();
    for name in names {
        let numbers = &bytes[range(name)];
        hasher.update(name.as_bytes()).update(&[0]);
        hasher.update(&(numbers.len() as u64).to_le_bytes()).update(numbers);
    }
    let seal: serde_json::Value =
        serde_json::from_str(header["__metadata__"]["desam"].as_str().unwrap()).unwrap();
    let (old, new) = (seal["blake3"].as_str().unwrap(), hasher.finalize().to_hex().to_string());
    let text = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap().replace(old, &new);
    bytes[8..8 + length].copy_from_slice(text.as_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_not_finite_is_named_though_its_checksum_is_right() {
    let bench = Bench::new();
    let cases: [(FeatureDtype, &[u8], &str); 4] = [
        // IEEE 754: all bits of the exponent set; the fraction is zero for infinity alone.
        (FeatureDtype::F16, &[0x00, 0x7c], "inf"),
        (FeatureDtype::F16, &[0x00, 0x7e], "NaN"),
        (FeatureDtype::F32, &[0x00, 0x00, 0x80, 0xff], "-inf"),
        (FeatureDtype::F32, &[0x00, 0x00, 0xc0, 0x7f], "NaN"),
    ];
    for (n, (dtype, number, word)) in cases.into_iter().enumerate() {
        let options = changed(bench.options(&format!("cache-{n}")), |c| c.dtype = dtype);
        let first = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
        let file = slice_files(&options.dir).swap_remove(2);
        // A finite value with a recomputed checksum is valid.
        reseal(&file, 7, &vec![0x11; number.len()]);
        FeatureCache::open(&options.dir).unwrap().verify(&Quiet).unwrap();
        reseal(&file, 7, number);
        let cache = FeatureCache::open(&options.dir).unwrap();
        let slice = cache.slices()[2];
        let error = cache.features(&slice, &Device::Cpu).unwrap_err();
        assert!(
            matches!(&error, Error::CacheNotFinite { path, slice: z, element: 7, .. }
            if *path == file && *z == slice.z),
            "{error}"
        );
        let message = error.to_string();
        let place = format!("slice {} of north/Case00: its tap0 holds {word}", slice.z);
        assert!(message.contains(file.to_str().unwrap()) && message.contains(&place), "{message}");
        match cache.verify(&Quiet) {
            Err(Error::CacheDamaged { damaged, .. }) => assert_eq!(damaged, [message]),
            other => panic!("{other:?}"),
        }
        // It is regenerated, like any invalid file.
        let again = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
        assert_eq!((again.computed, again.reused), (1, first.slices - 1));
        FeatureCache::open(&options.dir).unwrap().verify(&Quiet).unwrap();
    }
}

#[test]
fn slices_that_count_as_labelled_are_those_whose_masks_have_foreground() {
    let bench = Bench::new();
    let options = bench.options("cache");
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let path = options.dir.join("cache.json");
    let text = std::fs::read(&path).unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&text).unwrap();
    header["cases"][1]["labelled"].as_array_mut().unwrap().remove(0);
    std::fs::write(&path, serde_json::to_vec(&header).unwrap()).unwrap();
    match FeatureCache::open(&options.dir).unwrap().verify(&Quiet) {
        Err(Error::CacheDamaged { damaged, .. }) => {
            assert!(damaged.len() == 1 && damaged[0].contains("cases/north/Case01"), "{damaged:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_dies_anywhere_continues() {
    let bench = Bench::new();
    let options = bench.options("cache");
    let dir = options.dir.clone();
    assert!(matches!(FeatureCache::open(&dir), Err(Error::CacheNotFound { .. })));
    let mut total = 0;
    let mut runs = 0;
    // Each run encodes at most four slices and leaves a half-written file behind, as a killed
    // program would.
    let summary = loop {
        let encoder = ToyEncoder::failing_after(4);
        let outcome = embed(&options, &encoder, &Device::Cpu, &Quiet);
        total += encoder.calls().min(4);
        runs += 1;
        assert!(runs < 100);
        match outcome {
            Ok(summary) => break summary,
            Err(Error::Case { .. }) => {
                let error = FeatureCache::open(&dir).unwrap_err();
                assert!(
                    matches!(&error, Error::CacheIncomplete { present, .. }
                    if *present == total + case_files(&dir)),
                    "{error}"
                );
                let folder = dir.join("features/north/Case00");
                std::fs::write(folder.join(format!(".desam-{runs}.tmp")), b"half").unwrap();
                std::fs::write(dir.join(".desam-x.tmp"), b"{\"format\":").unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(total, summary.slices);
    assert!(runs > 2);
    FeatureCache::open(&dir).unwrap().verify(&Quiet).unwrap();
}

#[test]
fn another_recipe_is_refused_and_named() {
    let bench = Bench::new();
    let options = bench.options("cache");
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let mut others = vec![options.clone(); 4];
    others[0].dtype = FeatureDtype::F32;
    others[1].slices = SlicePolicy::All;
    others[2].encoder.weights_blake3 = "other weights".into();
    others[3].preprocess = desam_data::preprocess::PreprocessConfig::paper();
    let named = ["feature type", "slices", "encoder weights", "preprocessing"];
    for (other, name) in others.iter().zip(named) {
        let encoder = ToyEncoder::new();
        let error = embed(other, &encoder, &Device::Cpu, &Quiet).unwrap_err();
        assert!(matches!(error, Error::CacheMismatch { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(encoder.calls(), 0);
    }

    // A file of another cache: right shape, right source, but another encoder's numbers.
    let mut other = options.clone();
    other.dir = bench.path("other");
    other.encoder.weights_blake3 = "other weights".into();
    embed(&other, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let (ours, theirs) = (slice_files(&options.dir), slice_files(&other.dir));
    std::fs::copy(&theirs[1], &ours[1]).unwrap();
    let error = FeatureCache::open(&options.dir).unwrap_err();
    assert!(
        matches!(&error, Error::CacheEntryStale { path, what: "cache key", .. }
        if *path == ours[1]),
        "{error}"
    );
}

#[test]
fn changed_volumes_are_embedded_again_and_changed_labels_are_not() {
    let bench = Bench::new();
    let mut options = bench.options("cache");
    options.slices = SlicePolicy::All;
    let first = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let (image, label) = (&options.cases[1].image, options.cases[1].label.as_ref().unwrap());

    let volume = nifti::read_volume(image).unwrap();
    let brighter = volume.data().iter().map(|v| v + 50.0).collect();
    let slices = volume.grid().dims[2];
    let volume = desam_core::Volume::new(*volume.grid(), brighter).unwrap();
    nifti::write_volume(image, &volume).unwrap();
    let again = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert_eq!((again.computed, again.reused), (slices, first.slices - slices));

    let labels = nifti::read_labels(label).unwrap();
    let empty = desam_core::LabelVolume::new(*labels.grid(), vec![0; labels.grid().len()]).unwrap();
    nifti::write_labels(label, &empty).unwrap();
    let again = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert_eq!(again.computed, 0);
    let cache = FeatureCache::open(&options.dir).unwrap();
    assert!(cache.case_slices(1).iter().all(|s| !s.labelled));
    assert_eq!(cache.case_slices(1).len(), slices);
}

#[test]
fn a_case_without_ground_truth_can_be_embedded_but_not_trained_on() {
    let bench = Bench::new();
    let mut options = bench.options("cache");
    options.cases.truncate(1);
    options.cases[0].label = None;
    let error = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap_err();
    assert!(matches!(&error, Error::NoGroundTruth { id, .. } if id == "Case00"), "{error}");
    options.slices = SlicePolicy::All;
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let cache = FeatureCache::open(&options.dir).unwrap();
    cache.verify(&Quiet).unwrap();
    let slice = cache.slices()[0];
    assert!(!slice.labelled);
    assert!(cache.image(&slice).is_ok());
    assert!(matches!(cache.mask(&slice), Err(Error::NoGroundTruth { .. })));
    assert!(matches!(cache.label_path(0), Err(Error::NoGroundTruth { .. })));
    assert!(CachedSlices::new(Arc::new(cache), &[0], &Device::Cpu).unwrap().is_empty());
}

#[test]
fn an_unreadable_case_is_named() {
    let bench = Bench::new();
    let options = bench.options("cache");
    let image = &options.cases[2].image;
    let bytes = std::fs::read(image).unwrap();
    std::fs::write(image, &bytes[..bytes.len() / 2]).unwrap();
    let encoder = ToyEncoder::new();
    let error = embed(&options, &encoder, &Device::Cpu, &Quiet).unwrap_err();
    assert!(matches!(&error, Error::Case { site, id, .. } if site == "south" && id == "Case00"));
    assert!(error.to_string().contains("south"), "{error}");
    assert_eq!(encoder.calls(), 0);
}

#[test]
fn names_that_clash_or_leave_the_cache_are_refused() {
    let bench = Bench::new();
    let mut options = bench.options("cache");
    options.cases[1].id = "../../escape".into();
    let error = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap_err();
    assert!(matches!(error, Error::CaseName { .. }), "{error}");
    options.cases[1].id = "cASE00".into();
    let error = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap_err();
    assert!(matches!(error, Error::DuplicateCase { .. }), "{error}");
    assert!(!options.dir.exists());
}

#[test]
fn features_that_half_precision_cannot_hold_are_refused() {
    let bench = Bench::new();
    let mut options = bench.options("cache");
    options.cases.truncate(1);
    // 65504 is the largest finite half; the toy's numbers are of the order of 1 to 300.
    let loud = ToyEncoder::scaled(1e6);
    let error = embed(&options, &loud, &Device::Cpu, &Quiet).unwrap_err().to_string();
    assert!(error.contains("f16") && error.contains("store f32"), "{error}");
    options.dtype = FeatureDtype::F32;
    options.dir = bench.path("f32");
    embed(&options, &loud, &Device::Cpu, &Quiet).unwrap();
    let broken = ToyEncoder::scaled(f64::NAN);
    options.dir = bench.path("nan");
    let error = embed(&options, &broken, &Device::Cpu, &Quiet).unwrap_err().to_string();
    assert!(error.contains("NaN"), "{error}");
}

#[test]
fn an_encoder_that_breaks_its_spec_is_refused() {
    let bench = Bench::new();
    let options = bench.options("cache");
    let error = embed(&options, &ToyEncoder::lying(), &Device::Cpu, &Quiet).unwrap_err();
    assert!(error.to_string().contains("tap1"), "{error}");
}

#[test]
fn broken_headers_are_refused() {
    let bench = Bench::new();
    let mut options = bench.options("cache");
    options.cases.truncate(1);
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let path = options.dir.join("cache.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let key = FeatureCache::open(&options.dir).unwrap().header().key.clone();
    let broken = [
        ("{", "}"),
        ("\"format\": 1", "\"format\": 2"),
        ("\"id\": \"Case00\"", "\"id\": \"../../../etc/passwd\""),
        ("\"patch\": 16", "\"patch\": 0"),
        ("\"image_side\": 16,", "\"image_side\": 32"),
        ("\"slices\": \"labelled\"", "\"slices\": \"all\""),
        ("\"data_root\"", "\"unknown\": 3, \"data_root\""),
        (key.as_str(), "0123"),
    ];
    for (from, to) in broken {
        assert!(good.contains(from), "{from}: {good}");
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        assert!(FeatureCache::open(&options.dir).is_err(), "{from}");
    }
    for length in (0..good.len()).step_by(97) {
        std::fs::write(&path, &good[..length]).unwrap();
        let error = FeatureCache::open(&options.dir).unwrap_err().to_string();
        assert!(error.contains("cache.json"), "{error}");
    }
    std::fs::write(&path, &good).unwrap();
    FeatureCache::open(&options.dir).unwrap();
}

#[test]
fn a_cache_can_be_moved() {
    let bench = Bench::new();
    let options = bench.options("cache");
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let moved = bench.path("moved");
    std::fs::rename(&options.dir, &moved).unwrap();
    FeatureCache::open(&moved).unwrap().verify(&Quiet).unwrap();
    // Another folder for the data, the same files: nothing to do.
    let mut elsewhere = options.clone();
    elsewhere.dir = moved;
    elsewhere.data_root = bench.path("data2");
    std::fs::rename(&options.data_root, &elsewhere.data_root).unwrap();
    elsewhere.cases = desam_data::layout::discover(&elsewhere.data_root).unwrap();
    let again = embed(&elsewhere, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert_eq!(again.computed, 0);
}

#[test]
fn batches_write_the_same_files_as_single_slices() {
    let bench = Bench::new();
    let mut options = bench.options("single");
    options.slices = SlicePolicy::All;
    let single = ToyEncoder::new();
    let expected = embed(&options, &single, &Device::Cpu, &Quiet).unwrap();
    let files = slice_files(&options.dir);
    for (batch, calls) in [(2, 20), (7, 8), (64, 4)] {
        let batched = changed(options.clone(), |c| {
            c.batch = batch;
            c.dir = bench.path(&format!("batch-{batch}"));
        });
        let encoder = ToyEncoder::new();
        let found = embed(&batched, &encoder, &Device::Cpu, &Quiet).unwrap();
        // Four cases of ten slices: ⌈10 / batch⌉ each.
        assert_eq!((&found, encoder.calls()), (&expected, calls));
        let same = slice_files(&batched.dir);
        assert_eq!(same.len(), files.len());
        for (a, b) in files.iter().zip(&same) {
            assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap(), "{}", b.display());
        }
        FeatureCache::open(&batched.dir).unwrap().verify(&Quiet).unwrap();
        // What is missing is made, the rest is kept.
        std::fs::remove_file(&same[3]).unwrap();
        let again = embed(&batched, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
        assert_eq!((again.computed, again.reused), (1, files.len() - 1));
    }
}

#[test]
fn a_batch_that_fails_ends_the_work_and_what_was_written_stays() {
    let bench = Bench::new();
    let options = changed(bench.options("cache"), |c| {
        c.batch = 3;
        c.slices = SlicePolicy::All;
    });
    let error = embed(&options, &ToyEncoder::failing_after(2), &Device::Cpu, &Quiet).unwrap_err();
    let mut said = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        said.push_str(&source.to_string());
    }
    assert!(said.contains("out of coffee"), "{said}");
    assert_eq!(slice_files(&options.dir).len(), 6);
    let rest = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert_eq!((rest.reused, rest.slices), (6, 40));
}

#[test]
fn another_precision_is_another_cache() {
    let bench = Bench::new();
    let options = bench.options("cache");
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let other = changed(options.clone(), |c| c.precision = desam_core::Precision::Bf16);
    let error = embed(&other, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap_err().to_string();
    assert!(error.contains("precision") && error.contains("bf16"), "{error}");
}
