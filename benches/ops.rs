//! Each op of `desam-nn`: the path that runs against the plain one that defines it.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::candle::{Tensor, Var};
use desam::nn::layers::{Attention, AttentionConfig, AttentionInputs};
use desam::nn::ops::adam::{AdamStep, Moments};
use desam::nn::ops::conv2d::{self, Conv2dConfig};
use desam::nn::ops::linear::{Activation, Affine};
use desam::nn::ops::rel_pos_attention::{self, RelPosAttention};
use desam::nn::ops::{
    conv_transpose2d, cross_attention, instance_norm, layer_norm, linear, pointwise, resize,
    softmax,
};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam_benches::{Criterion, id, run, variable, wave};
use std::hint::black_box;

type Op<'a> = &'a dyn Fn(&[Tensor]) -> Tensor;

/// One path of one op on inputs of these shapes: forward on plain tensors, and forward and backward
/// on variables, the sum of the output being what is derived (the cheapest there is; its own cost
/// is in both paths).
fn path(c: &mut Criterion, name: &str, shapes: &[&[usize]], op: Op<'_>) {
    let inputs: Vec<Tensor> = shapes.iter().map(|s| wave(s, s.len() as f64)).collect();
    c.bench_function(&id(format!("{name}/forward")), |b| b.iter(|| black_box(op(&inputs))));
    let vars: Vec<Var> = shapes.iter().map(|s| variable(s, s.len() as f64)).collect();
    let inputs: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    c.bench_function(&id(format!("{name}/forward+backward")), |b| {
        b.iter(|| black_box(op(&inputs).sum_all().unwrap().backward().unwrap()));
    });
}

/// Convolutions of PIMM over ViT-B's features: (name, inputs, outputs, side, kernel).
const CONVOLUTIONS: [(&str, usize, usize, usize, usize); 5] = [
    ("context 256→256, 64², 3×3", 256, 256, 64, 3),
    ("context 128→128, 128², 3×3", 128, 128, 128, 3),
    ("step 64→64, 256², 3×3", 64, 64, 256, 3),
    ("shortcut 256→128, 128², 1×1", 256, 128, 128, 1),
    ("tiny 64→64, 16², 3×3", 64, 64, 16, 3),
];

fn convolutions(c: &mut Criterion) {
    for (name, inputs, outputs, side, kernel) in CONVOLUTIONS {
        let config = Conv2dConfig::same(kernel);
        let shapes: [&[usize]; 2] = [&[1, inputs, side, side], &[outputs, inputs, kernel, kernel]];
        let at = |path: &str| format!("conv2d/{name}/{path}");
        path(c, &at("fast"), &shapes, &|t| conv2d::conv2d(&t[0], &t[1], config).unwrap());
        path(c, &at("plain"), &shapes, &|t| conv2d::plain(&t[0], &t[1], config).unwrap());
    }
    let shapes: [&[usize]; 2] = [&[1, 256, 64, 64], &[256, 128, 2, 2]];
    path(c, "conv_transpose2x2/256→128, 64²/fast", &shapes, &|t| {
        conv_transpose2d::conv_transpose2x2(&t[0], &t[1]).unwrap()
    });
    path(c, "conv_transpose2x2/256→128, 64²/plain", &shapes, &|t| {
        conv_transpose2d::plain(&t[0], &t[1]).unwrap()
    });
}

fn norms(c: &mut Criterion) {
    for (name, channels, side) in [("256, 64²", 256, 64), ("64, 256²", 64, 256)] {
        let shape: [&[usize]; 1] = [&[1, channels, side, side]];
        let at = |path: &str| format!("instance norm + LeakyReLU/{name}/{path}");
        path(c, &at("fast"), &shape, &|t| {
            instance_norm::instance_norm_leaky(&t[0], 1e-5, 0.01).unwrap()
        });
        path(c, &at("plain"), &shape, &|t| instance_norm::plain(&t[0], 1e-5, 0.01).unwrap());
        let at = |path: &str| format!("LeakyReLU/{name}/{path}");
        path(c, &at("fast"), &shape, &|t| pointwise::leaky_relu(&t[0], 0.01).unwrap());
        path(c, &at("plain"), &shape, &|t| pointwise::plain_leaky_relu(&t[0], 0.01).unwrap());
    }
    let shapes: [&[usize]; 3] = [&[1, 4096, 256], &[256], &[256]];
    path(c, "layer norm/4096 × 256/fast", &shapes, &|t| {
        layer_norm::layer_norm(&t[0], &t[1], &t[2], 1e-6).unwrap()
    });
    path(c, "layer norm/4096 × 256/plain", &shapes, &|t| {
        layer_norm::plain(&t[0], &t[1], &t[2], 1e-6).unwrap()
    });
    let shapes: [&[usize]; 3] = [&[1, 256, 64, 64], &[256], &[256]];
    path(c, "layer norm 2d/256, 64²/fast", &shapes, &|t| {
        layer_norm::layer_norm_2d(&t[0], &t[1], &t[2], 1e-6).unwrap()
    });
    path(c, "layer norm 2d/256, 64²/plain", &shapes, &|t| {
        layer_norm::plain_2d(&t[0], &t[1], &t[2], 1e-6).unwrap()
    });
}

/// Affine maps of the image encoder (ViT-B) and of the mask decoder.
fn affine(c: &mut Criterion) {
    let shape: [&[usize]; 1] = [&[4096, 3072]];
    path(c, "GELU/4096 × 3072/fast", &shape, &|t| pointwise::gelu(&t[0]).unwrap());
    path(c, "GELU/4096 × 3072/plain", &shape, &|t| pointwise::plain_gelu(&t[0]).unwrap());
    path(c, "ReLU/4096 × 3072/fast", &shape, &|t| pointwise::relu(&t[0]).unwrap());
    path(c, "ReLU/4096 × 3072/plain", &shape, &|t| t[0].relu().unwrap());
    for (rows, inputs, outputs, activation) in [
        (4096, 768, 3072, Activation::Gelu),
        (4096, 3072, 768, Activation::Identity),
        (4096, 256, 128, Activation::Identity),
        (56, 256, 2048, Activation::Relu),
    ] {
        let shapes: [&[usize]; 3] = [&[rows, inputs], &[outputs, inputs], &[outputs]];
        let at = |path: &str| {
            let activation = match activation {
                Activation::Identity => String::new(),
                other => format!(", {other:?}"),
            };
            format!("linear/{rows}: {inputs}→{outputs}{activation}/{path}")
        };
        fn affine(t: &[Tensor]) -> Affine<'_> {
            Affine { weight: &t[1], bias: Some(&t[2]) }
        }
        path(c, &at("fast"), &shapes, &|t| {
            linear::linear(&t[0], affine(t), activation.into()).unwrap()
        });
        path(c, &at("plain"), &shapes, &|t| linear::plain(&t[0], affine(t), activation).unwrap());
    }
}

fn resizing(c: &mut Criterion) {
    let shape: [&[usize]; 1] = [&[8, 1, 256, 256]];
    path(c, "bilinear/8, 256² to 1024²/fast", &shape, &|t| {
        resize::bilinear(&t[0], (1024, 1024)).unwrap()
    });
    path(c, "bilinear/8, 256² to 1024²/plain", &shape, &|t| {
        resize::plain(&t[0], (1024, 1024)).unwrap()
    });
}

/// One step of a parameter of ten million numbers.
fn adam(c: &mut Criterion) {
    let (var, grad) = (variable(&[10_000_000], 1.0), wave(&[10_000_000], 2.0));
    let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
    let step = AdamStep { beta1, beta2, epsilon, rate: 1e-4, step: 1, decay: 0.0, scale: 1.0 };
    type Way = fn(&AdamStep, &Var, &Tensor, &mut Moments) -> desam::candle::Result<()>;
    for (name, way) in [("fast", AdamStep::apply as Way), ("plain", AdamStep::plain)] {
        let mut moments = Moments::zeros(&var).unwrap();
        c.bench_function(&id(format!("Adam/10 million/{name}")), |b| {
            b.iter(|| way(&step, &var, &grad, &mut moments).unwrap());
        });
    }
}

fn attention(c: &mut Criterion) {
    // Token to image and image to token, 8 heads, 7 tokens on a 64×64 grid.
    for (name, shape) in [("8 × 7 × 4096", [1, 8, 7, 4096]), ("8 × 4096 × 7", [1, 8, 4096, 7])]
    {
        let shapes: [&[usize]; 1] = [&shape];
        let at = |path: &str| format!("softmax/{name}/{path}");
        path(c, &at("fast"), &shapes, &|t| softmax::softmax(&t[0]).unwrap());
        path(c, &at("plain"), &shapes, &|t| softmax::plain(&t[0]).unwrap());
    }
    for (name, n, queries, keys) in [
        ("7 to 4096", 1, 7, 4096),
        ("4096 to 7", 1, 4096, 7),
        ("8 × 7 to 4096", 8, 7, 4096),
        ("8 × 4096 to 7", 8, 4096, 7),
    ] {
        let shapes: [&[usize]; 3] = [&[n, queries, 128], &[n, keys, 128], &[n, keys, 128]];
        let at = |path: &str| format!("cross attention/{name}, 8 heads of 16/{path}");
        path(c, &at("fast"), &shapes, &|t| {
            cross_attention::cross_attention(&t[0], &t[1], &t[2], 8).unwrap()
        });
        path(c, &at("plain"), &shapes, &|t| {
            cross_attention::plain(&t[0], &t[1], &t[2], 8).unwrap()
        });
    }
    let config = AttentionConfig { width: 256, inner: 128, heads: 8 };
    let loaded = load(Tensors::new(), &LoadOptions::seeded(1), |vb| Attention::new(config, vb));
    let attention = loaded.unwrap().module;
    for (name, queries, keys) in [("7 tokens to 4096", 7, 4096), ("4096 to 7 tokens", 4096, 7)] {
        let shapes: [&[usize]; 2] = [&[1, queries, 256], &[1, keys, 256]];
        path(c, &format!("attention/{name}"), &shapes, &|t| {
            attention.forward(AttentionInputs { q: &t[0], k: &t[1], v: &t[1] }).unwrap()
        });
    }
}

/// Attention inside squares of tokens: (name, grid, side, heads, channels of a head).
const SQUARES: [(&str, usize, usize, usize, usize); 4] = [
    ("tiny, 16², windows of 7", 16, 7, 4, 24),
    ("tiny, 16², global", 16, 16, 4, 24),
    ("ViT-B, 64², windows of 14", 64, 14, 12, 64),
    ("ViT-B, 64², global", 64, 64, 12, 64),
];

/// Forward only: the encoder is frozen.
fn squares(c: &mut Criterion) {
    for (name, grid, side, heads, depth) in SQUARES {
        let width = heads * depth;
        let qkv = wave(&[1, grid, grid, 3 * width], 0.5);
        let (bias, positions) = (wave(&[3 * width], 1.0), wave(&[2, 2 * side - 1, depth], 2.0));
        let attention = RelPosAttention { bias: &bias, positions: &positions, heads };
        let at = |path: &str| id(format!("attention in squares/{name}/{path}/forward"));
        c.bench_function(&at("fast"), |b| {
            b.iter(|| black_box(rel_pos_attention::rel_pos_attention(&qkv, attention).unwrap()));
        });
        c.bench_function(&at("plain"), |b| {
            b.iter(|| black_box(rel_pos_attention::plain(&qkv, attention).unwrap()));
        });
    }
}

fn main() {
    run(|c| {
        norms(c);
        affine(c);
        attention(c);
        squares(c);
        resizing(c);
        adam(c);
        convolutions(c);
    });
}
