//! Ops that most of the time goes to, at ViT-H's and PIMM's sizes.

use super::{EAGER, FUSED, PLAIN, Setting, Subject, Work, random};
use crate::Result;
use crate::gauge::Repetitions;
use desam::candle::{self, DType, Tensor, Var};
use desam::nn::ops::conv_transpose2d::conv_transpose2x2;
use desam::nn::ops::conv2d::{Conv2dConfig, conv2d};
use desam::nn::ops::instance_norm::instance_norm_leaky;
use desam::nn::ops::layer_norm::layer_norm;
use desam::nn::ops::linear::{Activation, Affine, Epilogue, linear};
use desam::nn::ops::rel_pos_attention::{RelPosAttention, rel_pos_attention};
use desam::nn::ops::resize::bilinear;
use desam::nn::ops::se_block::{SeBlockKernels, se_block};
use serde_json::json;
use std::hint::black_box;

/// What is done to the inputs; PyTorch's side knows it by its name.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// qkv, bias, positions; heads.
    Attention(usize),
    /// x, weight, bias.
    Linear,
    /// x, weight, bias.
    LinearGelu,
    /// x, weight, bias.
    LayerNorm,
    /// x, kernel.
    Convolution,
    /// x, kernel.
    Transposed,
    /// x
    InstanceNorm,
    /// x, and the kernels of its convolutions.
    Block,
    /// x, to four times its side.
    Bilinear,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Attention(_) => "attention",
            Self::Linear => "linear",
            Self::LinearGelu => "linear_gelu",
            Self::LayerNorm => "layer_norm",
            Self::Convolution => "convolution",
            Self::Transposed => "transposed",
            Self::InstanceNorm => "instance_norm",
            Self::Block => "block",
            Self::Bilinear => "bilinear",
        }
    }

    fn run(self, t: &[Tensor]) -> candle::Result<Tensor> {
        let affine = || Affine { weight: &t[1], bias: Some(&t[2]) };
        match self {
            Self::Attention(heads) => {
                let attention = RelPosAttention { bias: &t[1], positions: &t[2], heads };
                rel_pos_attention(&t[0], attention)
            }
            Self::Linear => linear(&t[0], affine(), Epilogue::default()),
            Self::LinearGelu => linear(&t[0], affine(), Activation::Gelu.into()),
            Self::LayerNorm => layer_norm(&t[0], &t[1], &t[2], 1e-6),
            Self::Convolution => conv2d(&t[0], &t[1], Conv2dConfig::same(t[1].dim(2)?)),
            Self::Transposed => conv_transpose2x2(&t[0], &t[1]),
            Self::InstanceNorm => instance_norm_leaky(&t[0], 1e-5, 0.01),
            Self::Block => {
                let kernels = SeBlockKernels { conv1: &t[1], conv2: &t[2], conv3: t.get(3) };
                se_block(&[&t[0]], kernels)
            }
            Self::Bilinear => bilinear(&t[0], (4 * t[0].dim(2)?, 4 * t[0].dim(3)?)),
        }
    }

    /// Whether input `i` is f32 whatever the type of the rest: norms, biases, and weights that learn.
    fn single(self, i: usize, backward: bool) -> bool {
        match self {
            Self::Attention(_) | Self::LayerNorm => i > 0,
            Self::Linear | Self::LinearGelu => i == 2 || i == 1 && backward,
            _ => i > 0 && backward,
        }
    }
}

type Line = (&'static str, Op, Vec<Vec<usize>>, bool);

fn lines(quick: bool) -> Vec<Line> {
    let squares = |n: usize, grid: usize, side: usize, (heads, depth): (usize, usize)| {
        let width = heads * depth;
        vec![vec![n, grid, grid, 3 * width], vec![3 * width], vec![2, 2 * side - 1, depth]]
    };
    let affine = |rows: usize, i: usize, o: usize| vec![vec![rows, i], vec![o, i], vec![o]];
    let conv =
        |n: usize, i: usize, o: usize, side: usize| vec![vec![n, i, side, side], vec![o, i, 3, 3]];
    let block = |n: usize, i: usize, o: usize, side: usize| {
        vec![vec![n, i, side, side], vec![o, i, 3, 3], vec![o, o, 3, 3], vec![o, i, 1, 1]]
    };
    if quick {
        return vec![
            ("attention, windows", Op::Attention(4), squares(1, 16, 7, (4, 24)), false),
            ("linear", Op::Linear, affine(64, 96, 96), false),
            ("linear, GELU", Op::LinearGelu, affine(64, 96, 384), false),
            ("layer norm", Op::LayerNorm, vec![vec![64, 96], vec![96], vec![96]], false),
            ("convolution", Op::Convolution, conv(1, 16, 16, 16), true),
            ("transposed", Op::Transposed, vec![vec![1, 16, 8, 8], vec![16, 8, 2, 2]], true),
            ("instance norm", Op::InstanceNorm, vec![vec![1, 16, 16, 16]], true),
            ("residual block", Op::Block, block(1, 16, 8, 16), true),
            ("bilinear", Op::Bilinear, vec![vec![1, 1, 32, 32]], false),
        ];
    }
    vec![
        (
            "attention ViT-H, global, 8 images",
            Op::Attention(16),
            squares(8, 64, 64, (16, 80)),
            false,
        ),
        (
            "attention ViT-H, windows, 8 images",
            Op::Attention(16),
            squares(8, 64, 14, (16, 80)),
            false,
        ),
        (
            "attention ViT-B, global, 8 images",
            Op::Attention(12),
            squares(8, 64, 64, (12, 64)),
            false,
        ),
        ("linear 32768: 1280→3840", Op::Linear, affine(32768, 1280, 3840), false),
        ("linear 32768: 1280→5120, GELU", Op::LinearGelu, affine(32768, 1280, 5120), false),
        ("linear 32768: 5120→1280", Op::Linear, affine(32768, 5120, 1280), false),
        (
            "layer norm 32768×1280",
            Op::LayerNorm,
            vec![vec![32768, 1280], vec![1280], vec![1280]],
            false,
        ),
        ("convolution 8×1280→256, 64²", Op::Convolution, conv(8, 1280, 256, 64), false),
        ("the same, with gradients", Op::Convolution, conv(8, 1280, 256, 64), true),
        ("convolution 8×128→128, 128²", Op::Convolution, conv(8, 128, 128, 128), false),
        ("the same, with gradients", Op::Convolution, conv(8, 128, 128, 128), true),
        ("convolution 8×64→64, 256²", Op::Convolution, conv(8, 64, 64, 256), false),
        ("the same, with gradients", Op::Convolution, conv(8, 64, 64, 256), true),
        (
            "transposed 8×256→128, 64², with gradients",
            Op::Transposed,
            vec![vec![8, 256, 64, 64], vec![256, 128, 2, 2]],
            true,
        ),
        (
            "instance norm, LeakyReLU 8×64, 256², with gradients",
            Op::InstanceNorm,
            vec![vec![8, 64, 256, 256]],
            true,
        ),
        ("residual block 8×128→64, 256², with gradients", Op::Block, block(8, 128, 64, 256), true),
        ("bilinear 8×1, 256² to 1024²", Op::Bilinear, vec![vec![8, 1, 256, 256]], false),
    ]
}

pub(super) fn subjects<'a>(setting: &Setting<'a>) -> Vec<Subject<'a>> {
    lines(setting.quick).into_iter().map(|line| subject(setting, line)).collect()
}

fn subject<'a>(setting: &Setting<'a>, line: Line) -> Subject<'a> {
    let (name, op, shapes, backward) = line;
    let &Setting { device, dtype, quick } = setting;
    let heads = if let Op::Attention(heads) = op { heads } else { 0 };
    let request = json!({
        "kind": "op", "op": op.name(), "shapes": shapes, "backward": backward, "heads": heads,
    });
    let make = move || -> Result<Work> {
        let input = |(i, shape): (usize, &Vec<usize>)| -> candle::Result<Tensor> {
            let of = if op.single(i, backward) { DType::F32 } else { dtype };
            // Of parameters about as large as they are.
            let size = if i == 0 { 1.0 } else { 0.05 };
            let numbers = (random::numbers(shape, device)? * size)?.to_dtype(of)?;
            Ok(if backward { Var::from_tensor(&numbers)?.into_inner() } else { numbers })
        };
        let inputs = shapes.iter().enumerate().map(input).collect::<candle::Result<Vec<_>>>()?;
        // As PyTorch is given: a gradient of ones.
        let ones = if backward { Some(op.run(&inputs)?.detach().ones_like()?) } else { None };
        Ok(Box::new(move || {
            let y = op.run(&inputs)?;
            match &ones {
                Some(ones) => drop(black_box((&y * ones)?.sum_all()?.backward()?)),
                None => drop(black_box(y)),
            }
            Ok(())
        }))
    };
    Subject {
        name: name.to_owned(),
        items: None,
        make: Box::new(make),
        request,
        parties: match op {
            Op::Attention(_) => FUSED,
            // What a compiler can fuse.
            Op::LinearGelu | Op::InstanceNorm | Op::Block => PLAIN,
            _ => EAGER,
        },
        repetitions: if quick {
            Repetitions { warm: 1, count: 3, each: 2, host: false }
        } else {
            Repetitions { warm: 5, count: 25, each: 10, host: false }
        },
        goals: vec![],
    }
}
