//! Convolutions and what is made of them.

use crate::case::Case;
use desam::candle::Tensor;
use desam::nn::ops::conv_transpose2d::{self, conv_transpose2x2};
use desam::nn::ops::conv2d::{self, Conv2dConfig};
use desam::nn::ops::se_block::{self, SeBlockKernels};

/// (images, inputs, outputs, side, kernel)
type Sizes = (usize, usize, usize, usize, usize);

const SMALL: [Sizes; 4] =
    [(1, 3, 5, 7, 3), (3, 17, 33, 13, 3), (2, 40, 24, 9, 1), (1, 64, 1, 16, 1)];
/// Of PIMM over ViT-H's taps, of the neck, and of PIMM's head.
const FULL: [Sizes; 6] = [
    (2, 1280, 256, 64, 3),
    (2, 512, 256, 64, 3),
    (1, 128, 128, 128, 3),
    (1, 64, 64, 256, 3),
    (2, 1280, 128, 64, 1),
    (8, 64, 1, 256, 1),
];

pub(super) fn cases(quick: bool) -> Vec<Case> {
    let full = if quick { &[][..] } else { &FULL };
    let mut all: Vec<Case> = SMALL.iter().map(|s| convolution(s, true)).collect();
    all.extend(full.iter().map(|s| convolution(s, false)));
    all.push(patches());
    for (sizes, small) in [((2usize, 7usize, 5usize, 9usize), true), ((2, 256, 128, 64), false)] {
        if small || !quick {
            all.push(transposed(sizes, small));
        }
    }
    // A convolved shortcut, none, and two images' channels one after another.
    for (sizes, small) in [
        ((2usize, [8usize, 0], 16usize, 9usize), true),
        ((1, [16, 0], 16, 12), true),
        ((1, [8, 24], 16, 11), true),
        ((2, [1280, 0], 256, 64), false),
        ((1, [128, 0], 128, 128), false),
        ((1, [64, 64], 64, 256), false),
    ] {
        if small || !quick {
            all.push(block(sizes, small));
        }
    }
    all
}

fn convolution(&(n, inputs, outputs, side, kernel): &Sizes, small: bool) -> Case {
    let config = Conv2dConfig::same(kernel);
    let name = if kernel == 1 { "convolution 1×1" } else { "convolution 3×3" };
    let case = Case::new(name, format!("{n}×{inputs}→{outputs}, {side}²"), move |t| {
        conv2d::conv2d(&t[0], &t[1], config)
    });
    let case =
        if small { case.defined_by(move |t| conv2d::plain(&t[0], &t[1], config)) } else { case };
    case.input(&[n, inputs, side, side])
        .master(&[outputs, inputs, kernel, kernel], inputs * kernel * kernel)
        .backward()
        .roundings(2, 2)
}

/// Of the prompt encoder alone, which is f32.
fn patches() -> Case {
    let config = Conv2dConfig::patches(4);
    Case::new("convolution of patches", "2×3→20, 22², 4", move |t| {
        conv2d::conv2d(&t[0], &t[1], config)
    })
    .defined_by(move |t| conv2d::plain(&t[0], &t[1], config))
    .single(&[2, 3, 22, 22])
    .master(&[20, 3, 4, 4], 48)
}

fn transposed((n, inputs, outputs, side): (usize, usize, usize, usize), small: bool) -> Case {
    let case =
        Case::new("transposed convolution", format!("{n}×{inputs}→{outputs}, {side}²"), |t| {
            conv_transpose2x2(&t[0], &t[1])
        });
    let case =
        if small { case.defined_by(|t| conv_transpose2d::plain(&t[0], &t[1])) } else { case };
    case.input(&[n, inputs, side, side])
        .master(&[inputs, outputs, 2, 2], inputs)
        .backward()
        .roundings(2, 2)
}

/// The convolutions' outputs, the norms' and the result are rounded.
fn block((n, parts, outputs, side): (usize, [usize; 2], usize, usize), small: bool) -> Case {
    let inputs = parts[0] + parts[1];
    let images = if parts[1] > 0 { 2 } else { 1 };
    let of = move |t: &[Tensor], plain: bool| {
        let x: Vec<&Tensor> = t[..images].iter().collect();
        let kernels =
            SeBlockKernels { conv1: &t[images], conv2: &t[images + 1], conv3: t.get(images + 2) };
        if plain { se_block::plain(&x, kernels) } else { se_block::se_block(&x, kernels) }
    };
    let text = match images {
        2 => format!("{n}×({}+{})→{outputs}, {side}²", parts[0], parts[1]),
        _ => format!("{n}×{inputs}→{outputs}, {side}²"),
    };
    let mut case = Case::new("residual block", text, move |t: &[Tensor]| of(t, false));
    if small {
        case = case.defined_by(move |t| of(t, true));
    }
    for channels in &parts[..images] {
        case = case.input(&[n, *channels, side, side]);
    }
    case = case.master(&[outputs, inputs, 3, 3], 9 * inputs);
    case = case.master(&[outputs, outputs, 3, 3], 9 * outputs);
    if inputs != outputs {
        case = case.master(&[outputs, inputs, 1, 1], inputs);
    }
    case.backward().roundings(5, 5).rectified()
}
