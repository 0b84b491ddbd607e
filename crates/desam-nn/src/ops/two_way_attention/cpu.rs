//! One pass over the image: a stretch of pixels of one prompt is a task.

use super::absorb::scores_len;
use super::kernels::{add, add_scaled, add_to_rows, normalise, product, shift_rows, weigh};
use super::tiles::{ImageTiles, PIXELS, STRIDE, tile_len};
use super::{Exchange, Exchanged, Image};
use crate::ops::cross_attention::columns::softmax_columns;
use crate::ops::gemm_conv::{Left, ROWS, Right, Target};
use crate::ops::vector::{build, build_pair};
use candle_core::{Device, Result, Tensor};
use std::sync::{Mutex, PoisonError};

/// Rows of scores of the second product lie side by side, rounded up to whole vectors of any
/// machine.
const VECTOR: usize = 16;

/// Buffers of one task. Whatever they hold is overwritten.
#[derive(Default)]
struct Scratch {
    /// The image's new tokens, where they are not kept.
    image: Vec<f32>,
    /// Tokens with their positions.
    placed: Vec<f32>,
    scores: Vec<f32>,
    /// The scores turned round.
    turned: Vec<f32>,
}

/// Buffers that wait for the next task: made anew they would have to be cleared.
#[derive(Default)]
struct Pool(Mutex<Vec<Scratch>>);

impl Pool {
    fn with<R>(&self, f: impl FnOnce(&mut Scratch) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = lock().pop().unwrap_or_default();
        let result = f(&mut scratch);
        lock().push(scratch);
        result
    }
}

/// Everything that all tasks share.
struct Pass<'a> {
    exchange: &'a Exchange<'a>,
    image: Image<'a>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Places of channels, and of rows that are turned round.
    by_channel: Vec<usize>,
    by_pixel: Vec<usize>,
}

pub(super) fn exchange(exchange: &Exchange<'_>, image: Image<'_>) -> Result<Exchanged> {
    let sizes = exchange.told.sizes;
    let (weight, bias) = (exchange.norm.weight.to_vec1()?, exchange.norm.bias.to_vec1()?);
    if weight.len() != sizes.width || bias.len() != sizes.width {
        candle_core::bail!("exchange: a norm of {} for {} channels", weight.len(), sizes.width);
    }
    let wide = sizes.rows().next_multiple_of(VECTOR);
    let pass = Pass {
        exchange,
        image,
        weight,
        bias,
        by_channel: (0..sizes.width.max(sizes.rows())).map(|c| c * STRIDE).collect(),
        by_pixel: (0..PIXELS).map(|p| p * wide).collect(),
    };
    let (prompts, pool) = (exchange.prompts, Pool::default());
    let stretches = image.tokens.pixels().div_ceil(PIXELS);
    let kept = if exchange.keep_image { tile_len(sizes.width) } else { 0 };
    let partial = (sizes.width.next_multiple_of(ROWS) + 2) * wide;
    let parts = vec![[kept, partial]; stretches * prompts];
    let [tiles, partials] = build_pair(&parts, |i, [tile, partial]| {
        pool.with(|scratch| pass.task((i / prompts, i % prompts), scratch, [tile, partial]));
        Ok(())
    })?;
    let image = exchange.keep_image.then(|| ImageTiles::made(tiles, prompts, image.tokens));
    Ok(Exchanged { image, seen: pass.merge(&partials, partial)? })
}

impl Pass<'_> {
    /// What `prompt` and a stretch of the image tell each other: the image's new tokens, if there
    /// is room for them, and the weighted sums `[E, R]` with each row's largest score and sum of
    /// weights.
    fn task(
        &self,
        (stretch, prompt): (usize, usize),
        scratch: &mut Scratch,
        [kept, partial]: [&mut [f32]; 2],
    ) {
        let Scratch { image, placed, scores, turned } = scratch;
        let sizes = self.exchange.told.sizes;
        let len = PIXELS.min(self.image.tokens.pixels() - stretch * PIXELS);
        let tile = tile_len(sizes.width);
        image.resize(tile, 0.0);
        placed.resize(tile, 0.0);
        scores.resize(scores_len(sizes.rows()), 0.0);
        let y = if kept.is_empty() { &mut image[..] } else { kept };

        let x = self.image.tokens.tile(stretch, prompt);
        let positions = self.image.positions.tile(stretch, prompt);
        let queries = match self.image.queries {
            Some(queries) => queries.tile(stretch, prompt),
            None => {
                add(x, positions, placed);
                &placed[..]
            }
        };
        self.told_scores(prompt, queries, len, scores);
        self.answer(prompt, [x, scores], len, y);

        add(y, positions, placed);
        self.asked_scores(prompt, placed, len, scores);
        self.look(scores, y, len, (turned, partial));
    }

    /// Weights of the told tokens, `[R, pixels]`.
    fn told_scores(&self, prompt: usize, queries: &[f32], len: usize, scores: &mut [f32]) {
        let told = self.exchange.told;
        let sizes = told.sizes;
        let (count, rows) = (sizes.tokens, sizes.rows());
        let depth = if told.by_head { sizes.inner / sizes.heads } else { sizes.width };
        let keys = &told.keys[prompt * sizes.keys(depth)..][..sizes.keys(depth)];
        // Each head's rows meet its own channels, or all rows meet all channels.
        let each = if told.by_head { count } else { rows };
        for (part, first) in (0..rows).step_by(each).enumerate() {
            let left = (Left::lines(&keys[first * depth..], depth), ROWS * depth);
            let from = if told.by_head { part * depth } else { 0 };
            let right = Right::new(&queries[from * STRIDE..], &self.by_channel[..depth]);
            let values = &mut scores[first * STRIDE..];
            let target = Target { values, stride: STRIDE, rows: each, add: false };
            product(left, right, len, target);
        }
        shift_rows(&told.bias[prompt * rows..][..rows], scores);
        for head in scores[..rows * STRIDE].chunks_exact_mut(count * STRIDE) {
            softmax_columns(head, STRIDE);
        }
    }

    /// `y ← norm(x + answers · weights + what is added)`.
    fn answer(&self, prompt: usize, [x, weights]: [&[f32]; 2], len: usize, y: &mut [f32]) {
        let told = self.exchange.told;
        let (sizes, rows) = (told.sizes, told.sizes.rows());
        add_to_rows(x, &told.added, y);
        let answers = &told.answers[prompt * sizes.answers()..][..sizes.answers()];
        let left = (Left::lines(answers, rows), ROWS * rows);
        let right = Right::new(weights, &self.by_channel[..rows]);
        let target = Target { values: y, stride: STRIDE, rows: sizes.width, add: true };
        product(left, right, len, target);
        normalise(&self.weight, &self.bias, self.exchange.norm.eps as f32, y);
    }

    /// Scores of the asking tokens, `[R, pixels]`.
    fn asked_scores(&self, prompt: usize, placed: &[f32], len: usize, scores: &mut [f32]) {
        let asked = self.exchange.asked;
        let (width, rows) = (asked.sizes.width, asked.sizes.rows());
        let len_keys = asked.sizes.keys(width);
        let keys = &asked.keys[prompt * len_keys..][..len_keys];
        let left = (Left::lines(keys, width), ROWS * width);
        let right = Right::new(placed, &self.by_channel[..width]);
        let target = Target { values: scores, stride: STRIDE, rows, add: false };
        product(left, right, len, target);
    }

    /// The stretch's part of what the tokens see.
    fn look(
        &self,
        scores: &mut [f32],
        y: &[f32],
        len: usize,
        (turned, partial): (&mut Vec<f32>, &mut [f32]),
    ) {
        let (width, rows) = (self.exchange.asked.sizes.width, self.exchange.asked.sizes.rows());
        let wide = rows.next_multiple_of(VECTOR);
        turned.resize(PIXELS * wide, 0.0);
        let (seen, moments) = partial.split_at_mut(width.next_multiple_of(ROWS) * wide);
        let (largest, sums) = moments.split_at_mut(wide);
        for (row, line) in scores.chunks_exact_mut(STRIDE).take(rows).enumerate() {
            [largest[row], sums[row]] = weigh(&mut line[..len]);
        }
        // Written in the order of memory, read across.
        for (pixel, line) in turned.chunks_exact_mut(wide).take(len).enumerate() {
            for (row, weight) in line[..rows].iter_mut().enumerate() {
                *weight = scores[row * STRIDE + pixel];
            }
        }
        let left = (Left::lines(y, STRIDE), ROWS * STRIDE);
        let right = Right::new(turned, &self.by_pixel[..len]);
        let target = Target { values: seen, stride: wide, rows: width, add: false };
        product(left, right, wide, target);
    }

    /// The stretches' parts together, in their order: `[N, E, R]`.
    fn merge(&self, partials: &[f32], len: usize) -> Result<Tensor> {
        let Exchange { prompts, told, .. } = *self.exchange;
        let (width, rows) = (told.sizes.width, told.sizes.rows());
        let wide = rows.next_multiple_of(VECTOR);
        let whole = width.next_multiple_of(ROWS) * wide;
        let seen = build(told.sizes.prompts * width * rows, width * rows, |prompt, seen| {
            if prompt >= prompts {
                return Ok(());
            }
            let of_prompt = || partials.chunks_exact(len).skip(prompt).step_by(prompts);
            let mut largest = vec![f32::NEG_INFINITY; wide];
            for part in of_prompt() {
                let of_part = &part[whole..whole + wide];
                largest.iter_mut().zip(of_part).for_each(|(l, v)| *l = l.max(*v));
            }
            let (mut sums, mut total) = (vec![0.0; width * wide], vec![0.0; wide]);
            for part in of_prompt() {
                let moments = part[whole..].iter().zip(&largest);
                let factor: Vec<f32> = moments.map(|(m, largest)| (m - largest).exp()).collect();
                add_scaled(&part[..width * wide], &factor, &mut sums);
                add_scaled(&part[whole + wide..], &factor, &mut total);
            }
            for (line, sums) in seen.chunks_exact_mut(rows).zip(sums.chunks_exact(wide)) {
                let of_row = sums.iter().zip(&total);
                line.iter_mut().zip(of_row).for_each(|(s, (sum, total))| *s = sum / total);
            }
            Ok(())
        })?;
        Tensor::from_vec(seen, (told.sizes.prompts, width, rows), &Device::Cpu)
    }
}
