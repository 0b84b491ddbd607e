//! The frozen image encoder, one image.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::encoder::{FrozenSam, VitConfig};
use desam::types::ImageEncoder;
use desam_benches::{Criterion, id, run, slow, wave};
use std::hint::black_box;

fn encode(c: &mut Criterion, name: &str) {
    let config = VitConfig::preset(name).unwrap();
    let encoder = FrozenSam::random(&config, 0).unwrap().sam.image;
    let side = config.input_side;
    let pixels = wave(&[1, 3, side, side], 0.5);
    c.bench_function(&id(format!("encode/{name}, {side}²")), |b| {
        b.iter(|| black_box(encoder.encode(&pixels).unwrap()));
    });
}

fn main() {
    run(|c| {
        encode(c, "tiny");
        // The better part of a minute an image on two cores.
        if slow() {
            encode(c, "vit-b");
        }
    });
}
