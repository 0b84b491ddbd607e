//! Smooth random fields over a square: texture, shading, bias, and the blur.

use super::rng::{chance, scaled, sign, uniform};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::{PI, TAU};

/// Numbers between -1 and 1 that change over about `width` columns and `height` rows.
pub(crate) fn cloud(side: usize, [width, height]: [f32; 2], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let cells = |size: f32| (side as f32 / size.max(1.0)) as usize + 3;
    let (columns, rows) = (cells(width), cells(height));
    let nodes: Vec<f32> = (0..columns * rows).map(|_| uniform(rng, -1.0, 1.0)).collect();
    let shift = [rng.random::<f32>(), rng.random::<f32>()];
    // Index of the node before, and how far beyond it, eased.
    let place = |i: usize, size: f32, shift: f32| {
        let at = i as f32 / size.max(1.0) + shift;
        let part = at.fract();
        (at as usize, part * part * (3.0 - 2.0 * part))
    };
    let across: Vec<_> = (0..side).map(|x| place(x, width, shift[0])).collect();
    let mut out = Vec::with_capacity(side * side);
    for y in 0..side {
        let (row, down) = place(y, height, shift[1]);
        let [upper, lower] = [row, row + 1].map(|r| &nodes[r * columns..(r + 1) * columns]);
        for &(column, right) in &across {
            let mix = |line: &[f32]| line[column] + (line[column + 1] - line[column]) * right;
            let (a, b) = (mix(upper), mix(lower));
            out.push(a + (b - a) * down);
        }
    }
    out
}

/// Parallel waves of about `length` pixels.
fn stripes(side: usize, length: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (sin, cos) = uniform(rng, 0.0, PI).sin_cos();
    let (phase, k) = (uniform(rng, 0.0, TAU), TAU / length);
    let at = |i: usize| ((i % side) as f32 * cos * k + (i / side) as f32 * sin * k + phase).sin();
    (0..side * side).map(at).collect()
}

/// A texture: grain of one or two sizes, streaks along an axis, or stripes.
pub(crate) fn texture(side: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let size = scaled(rng, 1.5, 24.0);
    match rng.random_range(0..6) {
        0 => stripes(side, 2.0 * size.max(2.0), rng),
        1 => cloud(side, [size, 4.0 * size], rng),
        2 => cloud(side, [4.0 * size, size], rng),
        3 => {
            let mut sum = cloud(side, [size; 2], rng);
            let fine = cloud(side, [size / 3.0; 2], rng);
            sum.iter_mut().zip(fine).for_each(|(a, b)| *a = 0.7 * *a + 0.5 * b);
            sum
        }
        _ => cloud(side, [size; 2], rng),
    }
}

/// A ramp in a random direction, or a very smooth cloud: between -1 and 1.
pub(crate) fn shading(side: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    if chance(rng, 0.5) {
        return cloud(side, [side as f32 * uniform(rng, 0.35, 1.0); 2], rng);
    }
    let (sin, cos) = uniform(rng, 0.0, TAU).sin_cos();
    let (middle, steep) = (side as f32 / 2.0, sign(rng) * 1.4 / side as f32);
    let at = |i: usize| {
        let (x, y) = ((i % side) as f32 - middle, (i / side) as f32 - middle);
        (x * cos + y * sin) * steep
    };
    (0..side * side).map(at).collect()
}

/// Blurs a square by a Gaussian of deviation `sigma` pixels.
pub(crate) fn blur(values: &[f32], side: usize, sigma: f32) -> Vec<f32> {
    let reach = (2.5 * sigma).ceil() as isize;
    let kernel: Vec<f32> =
        (-reach..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    let total: f32 = kernel.iter().sum();
    let last = side as isize - 1;
    // Along the rows, the result turned; twice is both axes and upright again.
    let pass = |from: &[f32]| {
        let mut to = vec![0f32; side * side];
        for (y, row) in from.chunks_exact(side).enumerate() {
            for x in 0..side {
                let near = |(i, k): (usize, &f32)| {
                    row[(x as isize + i as isize - reach).clamp(0, last) as usize] * k
                };
                to[x * side + y] = kernel.iter().enumerate().map(near).sum::<f32>() / total;
            }
        }
        to
    };
    pass(&pass(values))
}
