//! Prompts: drawn for training, laid out for prediction, embedded.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::encoder::{PromptEncoderConfig, VitConfig};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::prompt::{BoxSampler, PointSampler, grid_points};
use desam::types::{BinaryMask, PromptEncoder, PromptSampler, Prompts};
use desam_benches::{disc, id, run};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use std::hint::black_box;

fn main() {
    run(|c| {
        let mask = BinaryMask::new(256, 256, disc(256, 0.2)).unwrap().into();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        c.bench_function(&id("prompt/one point of a 256² mask"), |b| {
            b.iter(|| black_box(PointSampler::paper().sample(&mask, 1024, &mut rng).unwrap()));
        });
        c.bench_function(&id("prompt/whole box"), |b| {
            b.iter(|| black_box(BoxSampler {}.sample(&mask, 1024, &mut rng).unwrap()));
        });
        c.bench_function(&id("prompt/9×9 grid"), |b| {
            b.iter(|| black_box(grid_points(9, 1024.0).unwrap()));
        });
        let sizes = PromptEncoderConfig::for_encoder(&VitConfig::vit_b().spec());
        let options = LoadOptions::seeded(1);
        let encoder = load(Tensors::new(), &options, |vb| sizes.build(vb)).unwrap().module;
        let prompts = Prompts::points(&grid_points(9, 1024.0).unwrap()).unwrap();
        c.bench_function(&id("prompt/embed 81 points, 64² grid, 256 channels"), |b| {
            b.iter(|| black_box(encoder.encode(&prompts).unwrap()));
        });
    });
}
