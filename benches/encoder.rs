//! The frozen image encoder, one image.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::encoder::{FrozenSam, TinyVitConfig, VitConfig};
use desam::nn::params::{LoadOptions, load};
use desam::types::ImageEncoder;
use desam_benches::{Criterion, id, run, slow, wave};
use std::hint::black_box;

fn encode(c: &mut Criterion, name: &str, encoder: &dyn ImageEncoder) {
    let side = encoder.spec().input_side;
    let pixels = wave(&[1, 3, side, side], 0.5);
    c.bench_function(&id(format!("encode/{name}, {side}²")), |b| {
        b.iter(|| black_box(encoder.encode(&pixels).unwrap()));
    });
}

fn vit(c: &mut Criterion, name: &str) {
    let config = VitConfig::preset(name).unwrap();
    encode(c, name, &FrozenSam::random(&config, 0).unwrap().sam.image);
}

fn main() {
    run(|c| {
        vit(c, "tiny");
        let config = TinyVitConfig::mobile_sam();
        let build = |vb| config.build(vb);
        let encoder = load(Default::default(), &LoadOptions::seeded(0), build).unwrap().module;
        encode(c, "MobileSAM", &encoder);
        // The better part of a minute an image on two cores.
        if slow() {
            vit(c, "vit-b");
        }
    });
}
