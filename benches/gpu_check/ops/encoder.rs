//! Attention with relative positions.

use crate::case::Case;
use desam::candle::{Result, Tensor};
use desam::nn::ops::rel_pos_attention::{self, RelPosAttention};

struct Sizes {
    name: &'static str,
    images: usize,
    grid: usize,
    side: usize,
    heads: usize,
    depth: usize,
}

/// Fewer heads than the models' where all would take the CPU long: heads are independent.
const SMALL: [Sizes; 3] = [
    Sizes { name: "odd: 9², squares of 4", images: 2, grid: 9, side: 4, heads: 3, depth: 24 },
    Sizes { name: "tiny: 16², windows of 7", images: 1, grid: 16, side: 7, heads: 4, depth: 24 },
    Sizes { name: "tiny: 16², global", images: 2, grid: 16, side: 16, heads: 4, depth: 24 },
];
const FULL: [Sizes; 5] = [
    Sizes {
        name: "ViT-B: 64², windows of 14",
        images: 2,
        grid: 64,
        side: 14,
        heads: 12,
        depth: 64,
    },
    Sizes { name: "ViT-B: 64², global", images: 1, grid: 64, side: 64, heads: 4, depth: 64 },
    Sizes {
        name: "ViT-H: 64², windows of 14",
        images: 2,
        grid: 64,
        side: 14,
        heads: 16,
        depth: 80,
    },
    Sizes { name: "ViT-H: 64², global", images: 1, grid: 64, side: 64, heads: 4, depth: 80 },
    Sizes { name: "odd: 37², squares of 14", images: 3, grid: 37, side: 14, heads: 2, depth: 80 },
];

pub(super) fn cases(quick: bool) -> Vec<Case> {
    let full = if quick { &[][..] } else { &FULL };
    let small = SMALL.iter().map(|s| of(s).defined_by(by(s.heads, rel_pos_attention::plain)));
    small.chain(full.iter().map(of)).collect()
}

fn by<F>(heads: usize, way: F) -> impl Fn(&[Tensor]) -> Result<Tensor> + Clone
where
    F: Fn(&Tensor, RelPosAttention<'_>) -> Result<Tensor> + Clone,
{
    move |t| way(&t[0], RelPosAttention { bias: &t[1], positions: &t[2], heads })
}

/// Scores, weights and the result are rounded, and scores twice, for the positions' part of them.
fn of(s: &Sizes) -> Case {
    let width = s.heads * s.depth;
    Case::new("attention in squares", s.name, by(s.heads, rel_pos_attention::rel_pos_attention))
        .input(&[s.images, s.grid, s.grid, 3 * width])
        .single(&[3 * width])
        .single(&[2, 2 * s.side - 1, s.depth])
        .roundings(4, 0)
}
