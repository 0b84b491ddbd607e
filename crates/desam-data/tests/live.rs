//! Slices that are encoded while a decoder is trained, with a toy encoder.

// A helper that cannot set a test up should end it.
#![allow(clippy::unwrap_used)]

// Shared with cache.rs, which uses all of it.
#[allow(dead_code)]
mod toy;

use candle_core::Device;
use desam_core::{Dataset, ImageFeatures, Quiet};
use desam_data::augment::{FeatureAugment, ImageAugment};
use desam_data::cache::{
    CachedSlice, CachedSlices, FeatureCache, FeatureDtype, OnTheFlySlices, SlicePolicy,
};
use desam_data::embed::embed;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use toy::{Bench, ToyEncoder};

fn opened(bench: &Bench, name: &str, slices: SlicePolicy) -> Arc<FeatureCache> {
    let mut options = bench.options(name);
    (options.slices, options.dtype) = (slices, FeatureDtype::F32);
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    Arc::new(FeatureCache::open(&options.dir).unwrap())
}

fn numbers(features: &ImageFeatures) -> Vec<f32> {
    let all = features.taps.iter().chain([&features.embedding]);
    all.flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn same(a: &CachedSlice, b: &CachedSlice) -> bool {
    (a.case, a.z, &a.mask) == (b.case, b.z, &b.mask) && numbers(&a.features) == numbers(&b.features)
}

fn live(cache: &Arc<FeatureCache>) -> OnTheFlySlices {
    let encoder = Arc::new(ToyEncoder::new());
    OnTheFlySlices::new(Arc::clone(cache), &[0, 2], encoder, &Device::Cpu).unwrap()
}

#[test]
fn what_is_encoded_now_is_what_was_stored() {
    let bench = Bench::new();
    let stored = opened(&bench, "stored", SlicePolicy::Labelled);
    let cached = CachedSlices::new(stored, &[0, 2], &Device::Cpu).unwrap();
    let images = opened(&bench, "images", SlicePolicy::None);
    assert!(images.slices().is_empty());
    let live = live(&images);
    assert!(!live.is_empty());
    assert_eq!(live.len(), cached.len());
    for index in 0..live.len() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        assert!(same(&live.get(index).unwrap(), &cached.get(index).unwrap()));
        // Nothing is changed unless it is asked for.
        assert!(same(&live.draw(index, rng).unwrap(), &cached.draw(index, rng).unwrap()));
    }
    assert!(live.get(live.len()).is_err());
}

#[test]
fn changes_are_drawn_and_never_seen_by_those_who_get() {
    let bench = Bench::new();
    let cache = opened(&bench, "cache", SlicePolicy::Labelled);
    let plain = live(&cache);
    let changed = plain.clone().augmented(ImageAugment::regular()).unwrap();
    let features = CachedSlices::new(Arc::clone(&cache), &[0, 2], &Device::Cpu).unwrap();
    let restyled = features.clone().augmented(FeatureAugment::regular()).unwrap();
    let sets: [(&dyn Dataset<Item = CachedSlice>, &dyn Dataset<Item = CachedSlice>); 2] =
        [(&plain, &changed), (&features, &restyled)];
    for (plain, changed) in sets {
        let draw = |seed| changed.draw(1, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        assert!(same(&plain.get(1).unwrap(), &changed.get(1).unwrap()));
        assert!(same(&draw(1), &draw(1)));
        assert!(!same(&draw(1), &draw(2)));
        assert!(!same(&plain.get(1).unwrap(), &draw(1)));
    }
}

#[test]
fn an_encoder_of_other_sizes_is_refused() {
    struct Other(desam_core::EncoderSpec);
    impl desam_core::ImageEncoder for Other {
        fn spec(&self) -> &desam_core::EncoderSpec {
            &self.0
        }
        fn encode(&self, _: &candle_core::Tensor) -> candle_core::Result<ImageFeatures> {
            candle_core::bail!("never asked")
        }
    }
    let bench = Bench::new();
    let cache = opened(&bench, "cache", SlicePolicy::None);
    let spec = desam_core::EncoderSpec { input_side: 128, ..cache.header().recipe.spec.clone() };
    let made = OnTheFlySlices::new(Arc::clone(&cache), &[0], Arc::new(Other(spec)), &Device::Cpu);
    let message = made.unwrap_err().to_string();
    assert!(message.contains("128") && message.contains("64"), "{message}");
    let beyond = OnTheFlySlices::new(cache, &[9], Arc::new(ToyEncoder::new()), &Device::Cpu);
    assert!(beyond.is_err());
}
