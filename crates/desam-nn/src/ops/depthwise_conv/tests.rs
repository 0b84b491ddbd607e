//! The fast path against elementary ops, and those against candle's grouped convolution.

use super::*;
use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};
use candle_core::{DType, Device};

fn conv(t: &[Tensor], stride: usize, activation: Activation) -> DepthwiseConv<'_> {
    DepthwiseConv { weight: &t[1], bias: &t[2], stride, activation }
}

fn inputs(shape: [usize; 4]) -> Vec<Tensor> {
    let channels = shape[3];
    vec![random(1, &shape), random(2, &[channels, 1, 3, 3]), random(3, &[channels])]
}

fn cast(t: &[Tensor], dtype: DType) -> Vec<Tensor> {
    t.iter().map(|t| t.to_dtype(dtype).unwrap()).collect()
}

/// Odd sides, one row, one channel, channels that fill no vector, strides beyond the image.
const SHAPES: [[usize; 4]; 6] =
    [[1, 1, 1, 1], [2, 5, 4, 3], [1, 8, 6, 16], [3, 1, 7, 33], [1, 9, 9, 100], [0, 4, 4, 2]];

#[test]
fn agrees_with_elementary_ops_for_odd_shapes() {
    for shape in SHAPES {
        for stride in [1, 2, 3] {
            for activation in [Activation::Identity, Activation::Gelu, Activation::Relu] {
                let single = cast(&inputs(shape), DType::F32);
                let double = cast(&single, DType::F64);
                let found = depthwise_conv(&single[0], conv(&single, stride, activation)).unwrap();
                let expected = plain(&double[0], conv(&double, stride, activation)).unwrap();
                assert_eq!(found.dims(), expected.dims());
                // Ten numbers below 1 are summed in f32.
                assert!(max_diff(&found, &expected) < 5e-6, "{shape:?}, stride {stride}");
            }
        }
    }
}

#[test]
fn elementary_ops_agree_with_candles_grouped_convolution() {
    for (shape, stride) in [([2, 5, 4, 3], 1), ([1, 8, 6, 5], 2), ([1, 7, 9, 2], 2)] {
        let t = inputs(shape);
        let first = t[0].permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let expected = first.conv2d(&t[1], 1, stride, 1, shape[3]).unwrap();
        let expected = expected.permute((0, 2, 3, 1)).unwrap().broadcast_add(&t[2]).unwrap();
        let found = plain(&t[0], conv(&t, stride, Activation::Identity)).unwrap();
        assert!(max_diff(&found, &expected) < 1e-12, "{shape:?}");
    }
}

#[test]
fn a_view_is_read_as_it_is_seen() {
    let x = random(4, &[1, 3, 4, 5]).to_dtype(DType::F32).unwrap();
    let t =
        inputs([1, 4, 5, 3]).iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect::<Vec<_>>();
    let seen = x.permute((0, 2, 3, 1)).unwrap();
    let found = depthwise_conv(&seen, conv(&t, 1, Activation::Identity)).unwrap();
    let copied = seen.contiguous().unwrap();
    let expected = depthwise_conv(&copied, conv(&t, 1, Activation::Identity)).unwrap();
    assert_eq!(max_diff(&found, &expected), 0.0);
}

#[test]
fn an_image_has_the_same_bits_alone_and_in_a_batch() {
    let t =
        inputs([3, 6, 5, 7]).iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect::<Vec<_>>();
    let together = depthwise_conv(&t[0], conv(&t, 2, Activation::Gelu)).unwrap();
    for image in 0..3 {
        let one = t[0].narrow(0, image, 1).unwrap();
        let alone = depthwise_conv(&one, conv(&t, 2, Activation::Gelu)).unwrap();
        assert_eq!(max_diff(&alone, &together.narrow(0, image, 1).unwrap()), 0.0);
    }
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    // Untracked inputs: tracked ones take the elementary ops.
    let fixed = cast(&inputs([2, 40, 9, 24]), DType::F32);
    same_bits(&[random(5, &[1])], |t| {
        let y = depthwise_conv(&fixed[0], conv(&fixed, 1, Activation::Gelu))?;
        y.broadcast_add(&t[0])
    });
}

#[test]
fn tracked_inputs_get_gradients() {
    check(&inputs([1, 3, 4, 2]), |t| plain(&t[0], conv(t, 2, Activation::Identity)));
    let t = inputs([2, 4, 5, 3]);
    let op = |t: &[Tensor]| depthwise_conv(&t[0], conv(t, 1, Activation::Gelu));
    let reference = |t: &[Tensor]| plain(&t[0], conv(t, 1, Activation::Gelu));
    // Values with and without gradients differ in the last bits, so only tracked ones are compared.
    compare(&t, |t| op(&tracked(t)?), reference);
}

/// The same tensors, tracked even where they are not.
fn tracked(t: &[Tensor]) -> Result<Vec<Tensor>> {
    let var = |t: &Tensor| Ok(candle_core::Var::from_tensor(t)?.as_tensor().clone());
    t.iter().map(|t| if t.track_op() { Ok(t.clone()) } else { var(t) }).collect()
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let device = Device::Cpu;
    let of = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &device).unwrap();
    let (x, weight, bias) = (of(&[1, 4, 4, 2]), of(&[2, 1, 3, 3]), of(&[2]));
    let fits =
        DepthwiseConv { weight: &weight, bias: &bias, stride: 1, activation: Activation::Identity };
    depthwise_conv(&x, fits).unwrap();
    let (grouped, short) = (of(&[2, 2, 3, 3]), of(&[1]));
    for wrong in [
        DepthwiseConv { weight: &grouped, ..fits },
        DepthwiseConv { bias: &short, ..fits },
        DepthwiseConv { stride: 0, ..fits },
    ] {
        let error = depthwise_conv(&x, wrong).unwrap_err().to_string();
        assert!(error.contains("[B, H, W, C]") && error.contains("[C, 1, 3, 3]"), "{error}");
    }
    assert!(depthwise_conv(&of(&[4, 4, 2]), fits).is_err());
}
