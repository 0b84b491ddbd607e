//! The trained decoder: forward, forward and backward, and what prediction makes of it.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::decoder::{Decoder, DecoderConfig};
use desam::encoder::VitConfig;
use desam::metrics::loss::LossConfig;
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use desam::types::{EncoderSpec, ImageFeatures, Loss, LossTarget, MaskDecoder, PromptEmbedding};
use desam_benches::{Criterion, discs, features, id, run, slow, wave};
use std::hint::black_box;

fn decoder(config: &DecoderConfig, options: &LoadOptions) -> Loaded<Decoder> {
    load(Tensors::new(), options, |vb| config.build(vb)).unwrap()
}

/// One point a prompt: the point and SAM's padding point.
fn prompts(spec: &EncoderSpec, n: usize) -> PromptEmbedding {
    let (e, g) = (spec.embedding_channels, spec.grid());
    PromptEmbedding { sparse: wave(&[n, 2, e], 3.0), dense: wave(&[n, e, g, g], 4.0) }
}

struct Size {
    name: &'static str,
    spec: EncoderSpec,
    config: DecoderConfig,
}

impl Size {
    fn forward(&self, c: &mut Criterion, batch: usize) {
        let Self { name, spec, config } = self;
        let model = decoder(config, &LoadOptions::seeded(1)).module;
        let (features, prompts) = (features(spec, batch), prompts(spec, batch));
        let position = wave(&[1, spec.embedding_channels, spec.grid(), spec.grid()], 5.0);
        c.bench_function(&id(format!("decoder/{name}, batch {batch}/forward")), |b| {
            b.iter(|| black_box(model.decode(&features, &position, &prompts).unwrap()));
        });
    }

    fn step(&self, c: &mut Criterion, batch: usize) {
        let Self { name, spec, config } = self;
        let model = decoder(config, &LoadOptions::trainable(1)).module;
        let (features, prompts) = (features(spec, batch), prompts(spec, batch));
        let position = wave(&[1, spec.embedding_channels, spec.grid(), spec.grid()], 5.0);
        let loss = LossConfig::paper_points().build().unwrap();
        let target =
            LossTarget { mask: discs(batch, spec.mask_side()), iou: Some(wave(&[batch, 1], 6.0)) };
        c.bench_function(&id(format!("decoder/{name}, batch {batch}/forward+backward")), |b| {
            b.iter(|| {
                let out = model.decode(&features, &position, &prompts).unwrap();
                black_box(loss.forward(&out, &target).unwrap().total.backward().unwrap())
            });
        });
    }

    /// The three steps that prediction takes apart: once an image, once a prompt, once a mask.
    fn parts(&self, c: &mut Criterion) {
        let Self { name, spec, config } = self;
        let model = decoder(config, &LoadOptions::seeded(1)).module;
        let features: ImageFeatures = features(spec, 1);
        let position = wave(&[1, spec.embedding_channels, spec.grid(), spec.grid()], 5.0);
        let context = model.context(&features, &position).unwrap();
        let nine = prompts(spec, 9);
        let one = model.encode_prompts(&context, &prompts(spec, 1)).unwrap();
        c.bench_function(&id(format!("decoder/{name}/context of an image")), |b| {
            b.iter(|| black_box(model.context(&features, &position).unwrap()));
        });
        c.bench_function(&id(format!("decoder/{name}/read 9 prompts")), |b| {
            b.iter(|| black_box(model.encode_prompts(&context, &nine).unwrap()));
        });
        c.bench_function(&id(format!("decoder/{name}/draw 1 mask")), |b| {
            b.iter(|| black_box(model.decode_masks(&context, &one).unwrap()));
        });
    }
}

fn main() {
    run(|c| {
        let spec = VitConfig::tiny().spec();
        let tiny = Size { name: "tiny", config: DecoderConfig::tiny(&spec), spec };
        tiny.parts(c);
        for batch in [1, 8] {
            tiny.forward(c, batch);
            tiny.step(c, batch);
        }
        let spec = VitConfig::vit_b().spec();
        let base = Size { name: "vit-b", config: DecoderConfig::sam(&spec), spec };
        if slow() {
            base.parts(c);
            for batch in [1, 8] {
                base.forward(c, batch);
                base.step(c, batch);
            }
        }
    });
}
