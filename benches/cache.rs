//! Features of one slice from the cache, in both types they can be stored in.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use criterion::BatchSize;
use desam::Quiet;
use desam::candle::{Device, Result, Tensor};
use desam::data::cache::{EncoderRecord, FeatureCache, FeatureDtype};
use desam::data::embed::{EmbedOptions, embed};
use desam::data::layout::discover;
use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::data::preprocess::PreprocessConfig;
use desam::encoder::VitConfig;
use desam::types::{EncoderSpec, ImageEncoder, ImageFeatures};
use desam_benches::{features, id, run};
use std::hint::black_box;
use std::path::Path;

/// Features of ViT-B's shapes that cost nothing to compute.
struct Waves {
    spec: EncoderSpec,
    features: ImageFeatures,
}

impl ImageEncoder for Waves {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn encode(&self, _: &Tensor) -> Result<ImageFeatures> {
        Ok(self.features.clone())
    }
}

fn cache(root: &Path, dtype: FeatureDtype) -> FeatureCache {
    let spec = VitConfig::vit_b().spec();
    let encoder = Waves { features: features(&spec, 1), spec };
    let options = EmbedOptions::new(
        root.join(dtype.to_string()),
        root.join("data"),
        discover(&root.join("data")).unwrap(),
        EncoderRecord::new("waves", "waves"),
    )
    .with_preprocess(PreprocessConfig::official())
    .with_dtype(dtype);
    embed(&options, &encoder, &Device::Cpu, &Quiet).unwrap();
    FeatureCache::open(&options.dir).unwrap()
}

fn main() {
    run(|c| {
        let root = tempfile::tempdir().unwrap();
        let sites = SiteStyle::six_sites().into_iter().take(1).collect();
        let config = PhantomConfig { cases_per_site: 1, seed: 1, sites };
        write_phantoms(&root.path().join("data"), &config, &Quiet).unwrap();
        for dtype in [FeatureDtype::F16, FeatureDtype::F32] {
            let cache = cache(root.path(), dtype);
            let slice = cache.slices()[0];
            c.bench_function(&id(format!("cache/load a ViT-B slice, {dtype}")), |b| {
                b.iter(|| black_box(cache.features(&slice, &Device::Cpu).unwrap()));
            });
            // Its checksum is compared then.
            c.bench_function(
                &id(format!("cache/load a ViT-B slice, {dtype}, the first time")),
                |b| {
                    b.iter_batched(
                        || FeatureCache::open(cache.dir()).unwrap(),
                        |cache| black_box(cache.features(&slice, &Device::Cpu).unwrap()),
                        BatchSize::PerIteration,
                    );
                },
            );
            c.bench_function(&id(format!("cache/open, {dtype}")), |b| {
                b.iter(|| black_box(FeatureCache::open(cache.dir()).unwrap()));
            });
        }
    });
}
