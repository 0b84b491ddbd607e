//! The fast path against the plain one, and that against scores by hand.

use super::*;
use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};
use candle_core::{DType, Device};

fn of(t: &[Tensor]) -> RelPosBiasAttention<'_> {
    RelPosBiasAttention { padding: &t[1], biases: &t[2] }
}

/// Images, grid, side of a window, heads, channels of a head.
type Sizes = [usize; 5];

fn inputs([images, grid, side, heads, depth]: Sizes) -> Vec<Tensor> {
    let triple = 3 * heads * depth;
    let qkv = (random(1, &[images, grid, grid, triple]) * 3.0).unwrap();
    vec![qkv, random(2, &[triple]), random(3, &[heads, side * side])]
}

fn single(sizes: Sizes) -> Vec<Tensor> {
    inputs(sizes).iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect()
}

/// Windows that divide the grid, that reach beyond it, that are larger than all of it; one token.
const SIZES: [Sizes; 5] =
    [[1, 4, 2, 2, 3], [2, 5, 3, 1, 8], [1, 8, 14, 5, 8], [1, 15, 7, 4, 32], [3, 1, 1, 2, 1]];

#[test]
fn agrees_with_elementary_ops() {
    for sizes in SIZES {
        let t = single(sizes);
        let double: Vec<Tensor> = t.iter().map(|t| t.to_dtype(DType::F64).unwrap()).collect();
        let found = rel_pos_bias_attention(&t[0], of(&t)).unwrap();
        let expected = plain(&double[0], of(&double)).unwrap();
        assert_eq!(found.dims(), expected.dims());
        // Weighted means of numbers below 3.
        assert!(max_diff(&found, &expected) < 1e-5, "{sizes:?}");
    }
}

#[test]
fn scores_by_hand() {
    // A grid of 1×1 in a window of 2×2: one token and three of padding. q·k is 0, so the biases alone
    // weigh: ln 1, ln 2, ln 3, ln 4 for itself, its right, its lower, its diagonal neighbour. Its own
    // value is 10, that of padding 0: 10 · 1 / (1 + 2 + 3 + 4).
    let device = Device::Cpu;
    let qkv = Tensor::new(&[0f32, 5.0, 10.0], &device).unwrap().reshape((1, 1, 1, 3)).unwrap();
    let padding = Tensor::new(&[0f32, 7.0, 0.0], &device).unwrap();
    let biases = [1f32, 2.0, 3.0, 4.0].map(f32::ln);
    let biases = Tensor::new(&biases, &device).unwrap().reshape((1, 4)).unwrap();
    let attention = RelPosBiasAttention { padding: &padding, biases: &biases };
    for y in [rel_pos_bias_attention(&qkv, attention), plain(&qkv, attention)] {
        let y = y.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((y[0] - 1.0).abs() < 1e-6, "{y:?}");
    }
    // From the definition |Δy|·S + |Δx|.
    assert_eq!(offset_indices(2), [0, 1, 2, 3, 1, 0, 3, 2, 2, 3, 0, 1, 3, 2, 1, 0]);
}

#[test]
fn an_image_has_the_same_bits_alone_and_in_a_batch() {
    let t = single([3, 5, 3, 2, 4]);
    let together = rel_pos_bias_attention(&t[0], of(&t)).unwrap();
    for image in 0..3 {
        let alone = rel_pos_bias_attention(&t[0].narrow(0, image, 1).unwrap(), of(&t)).unwrap();
        assert_eq!(max_diff(&alone, &together.narrow(0, image, 1).unwrap()), 0.0);
    }
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let t = single([2, 9, 4, 3, 8]);
    same_bits(&[random(5, &[1])], |x| rel_pos_bias_attention(&t[0], of(&t))?.broadcast_add(&x[0]));
}

#[test]
fn tracked_inputs_get_gradients() {
    check(&inputs([1, 3, 2, 1, 2]), |t| plain(&t[0], of(t)));
    let tracked = |t: &[Tensor]| -> Result<Vec<Tensor>> {
        t.iter().map(|t| Ok(candle_core::Var::from_tensor(t)?.as_tensor().clone())).collect()
    };
    let op = |t: &[Tensor]| rel_pos_bias_attention(&t[0], of(t));
    compare(
        &inputs([1, 5, 3, 2, 4]),
        // Values with and without gradients differ in the last bits, so only tracked ones are compared.
        |t| if t[0].track_op() { op(t) } else { op(&tracked(t)?) },
        |t| plain(&t[0], of(t)),
    );
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (qkv, padding, biases) = (zeros(&[1, 4, 4, 12]), zeros(&[12]), zeros(&[2, 9]));
    let fits = RelPosBiasAttention { padding: &padding, biases: &biases };
    rel_pos_bias_attention(&qkv, fits).unwrap();
    let (short, odd, uneven) = (zeros(&[4]), zeros(&[2, 8]), zeros(&[3, 9]));
    for wrong in [
        RelPosBiasAttention { padding: &short, ..fits },
        RelPosBiasAttention { biases: &odd, ..fits },
        RelPosBiasAttention { biases: &uneven, ..fits },
    ] {
        let error = rel_pos_bias_attention(&qkv, wrong).unwrap_err().to_string();
        assert!(error.contains("[B, G, G, 3C]") && error.contains("[heads, S²"), "{error}");
    }
    assert!(rel_pos_bias_attention(&zeros(&[1, 4, 3, 12]), fits).is_err());
}
