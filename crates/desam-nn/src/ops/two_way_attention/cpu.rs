//! The pass over the image on the CPU: a task is one chunk of pixels for one prompt.

use super::absorbed::scores_len;
use super::kernels::{
    ScoreMoments, add, add_row_bias, add_row_bias_in_place, add_scaled, exp_scores, normalise,
    product,
};
use super::tiles::{ImageTiles, PIXELS, STRIDE, tile_len};
use super::{ImageTokens, TwoWayAttention, TwoWayAttentionOutput};
use crate::ops::cross_attention::columns::softmax_columns;
use crate::ops::gemm_conv::{Lhs, ROWS, Rhs, StridedOutput};
use crate::ops::vector::{build, build_pair};
use candle_core::{Device, Result, Tensor};
use std::sync::{Mutex, PoisonError};

/// Rows of scores are the vectors of the second attention's product; their number is rounded up to
/// whole vectors of the widest kind (AVX-512).
const MAX_LANES: usize = 16;

/// Buffers of one task, overwritten by it.
#[derive(Default)]
struct Scratch {
    /// The image's new tokens, where they are not kept.
    image: Vec<f32>,
    /// Tokens with their positions.
    positioned: Vec<f32>,
    scores: Vec<f32>,
    /// The scores transposed.
    transposed: Vec<f32>,
}

/// Scores of a chunk, and the buffer for their transpose.
struct ScoreBuffers<'a> {
    scores: &'a mut [f32],
    transposed: &'a mut Vec<f32>,
}

/// Buffers that are reused from task to task: a new allocation would have to be zeroed.
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

/// Inputs that all tasks share.
struct Pass<'a> {
    attention: &'a TwoWayAttention<'a>,
    image: ImageTokens<'a>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Offsets of channels in a chunk, and of pixels in the transposed scores.
    channel_offsets: Vec<usize>,
    pixel_offsets: Vec<usize>,
}

/// A chunk of pixels for one prompt.
#[derive(Clone, Copy)]
struct Task {
    chunk: usize,
    prompt: usize,
    /// Pixels of the chunk.
    pixels: usize,
}

pub(super) fn run(
    attention: &TwoWayAttention<'_>,
    image: ImageTokens<'_>,
) -> Result<TwoWayAttentionOutput> {
    let sizes = attention.image_to_token.sizes;
    let (weight, bias) = (attention.norm.weight.to_vec1()?, attention.norm.bias.to_vec1()?);
    if weight.len() != sizes.width || bias.len() != sizes.width {
        let (weights, channels) = (weight.len(), sizes.width);
        candle_core::bail!("two-way attention: a norm of {weights} for {channels} channels");
    }
    let wide = sizes.rows().next_multiple_of(MAX_LANES);
    let pass = Pass {
        attention,
        image,
        weight,
        bias,
        channel_offsets: (0..sizes.width.max(sizes.rows())).map(|c| c * STRIDE).collect(),
        pixel_offsets: (0..PIXELS).map(|p| p * wide).collect(),
    };
    let (prompts, pool) = (attention.prompts, Pool::default());
    let all_pixels = image.tokens.pixels();
    let chunks = all_pixels.div_ceil(PIXELS);
    let kept = if attention.keep_image { tile_len(sizes.width) } else { 0 };
    // The weighted sums, then the maximum and the sum of the weights of each row of scores.
    let partial = (sizes.width.next_multiple_of(ROWS) + 2) * wide;
    let parts = vec![[kept, partial]; chunks * prompts];
    let [tiles, partials] = build_pair(&parts, |i, [tile, partial]| {
        let (chunk, prompt) = (i / prompts, i % prompts);
        let pixels = PIXELS.min(all_pixels - chunk * PIXELS);
        pool.with(|scratch| pass.run(Task { chunk, prompt, pixels }, scratch, tile, partial));
        Ok(())
    })?;
    let image = attention.keep_image.then(|| ImageTiles::from_values(tiles, prompts, image.tokens));
    Ok(TwoWayAttentionOutput { image, attended: pass.merge(&partials, partial)? })
}

impl Pass<'_> {
    /// Both attentions for one chunk: the image's new tokens (into `kept`, unless it is empty), and in
    /// `partial` the weighted sums `[E, R]` with each row's maximum and sum of weights.
    fn run(&self, task: Task, scratch: &mut Scratch, kept: &mut [f32], partial: &mut [f32]) {
        let Scratch { image, positioned, scores, transposed } = scratch;
        let sizes = self.attention.image_to_token.sizes;
        let tile = tile_len(sizes.width);
        image.resize(tile, 0.0);
        positioned.resize(tile, 0.0);
        scores.resize(scores_len(sizes.rows()), 0.0);
        let y = if kept.is_empty() { &mut image[..] } else { kept };

        let x = self.image.tokens.tile(task.chunk, task.prompt);
        let positions = self.image.positions.tile(task.chunk, task.prompt);
        let queries = match self.image.queries {
            Some(queries) => queries.tile(task.chunk, task.prompt),
            None => {
                add(x, positions, positioned);
                &positioned[..]
            }
        };
        self.image_to_token_weights(task, queries, scores);
        self.residual_norm(task, x, scores, y);

        add(y, positions, positioned);
        self.token_to_image_scores(task, positioned, scores);
        let weights = ScoreBuffers { scores, transposed };
        self.weighted_sums(task, weights, y, partial);
    }

    /// Attention weights of the image's pixels over the tokens, `[R, pixels]`.
    fn image_to_token_weights(&self, task: Task, queries: &[f32], scores: &mut [f32]) {
        let to_token = self.attention.image_to_token;
        let sizes = to_token.sizes;
        let (count, rows) = (sizes.tokens, sizes.rows());
        let depth = if to_token.per_head { sizes.inner / sizes.heads } else { sizes.width };
        let keys = &to_token.keys[task.prompt * sizes.keys_len(depth)..][..sizes.keys_len(depth)];
        // Projected queries: each head's rows times its own channels. Absorbed: all rows times all
        // channels, in one product.
        let each = if to_token.per_head { count } else { rows };
        for (part, first) in (0..rows).step_by(each).enumerate() {
            let lhs = Lhs::row_major(&keys[first * depth..], depth);
            let from = if to_token.per_head { part * depth } else { 0 };
            let rhs = Rhs::new(&queries[from * STRIDE..], &self.channel_offsets[..depth]);
            let values = &mut scores[first * STRIDE..];
            let output = StridedOutput { values, stride: STRIDE, rows: each, add: false };
            product(lhs, rhs, task.pixels, output);
        }
        add_row_bias_in_place(&to_token.score_bias[task.prompt * rows..][..rows], scores);
        for head in scores[..rows * STRIDE].chunks_exact_mut(count * STRIDE) {
            softmax_columns(head, STRIDE);
        }
    }

    /// `y ← norm(x + values · weights + output bias)`: residual and norm of the first attention.
    fn residual_norm(&self, task: Task, x: &[f32], weights: &[f32], y: &mut [f32]) {
        let to_token = self.attention.image_to_token;
        let (sizes, rows) = (to_token.sizes, to_token.sizes.rows());
        add_row_bias(x, &to_token.output_bias, y);
        let values = &to_token.values[task.prompt * sizes.values_len()..][..sizes.values_len()];
        let lhs = Lhs::row_major(values, rows);
        let rhs = Rhs::new(weights, &self.channel_offsets[..rows]);
        let output = StridedOutput { values: y, stride: STRIDE, rows: sizes.width, add: true };
        product(lhs, rhs, task.pixels, output);
        normalise(&self.weight, &self.bias, self.attention.norm.eps as f32, y);
    }

    /// Scores of the tokens' queries against the chunk, `[R, pixels]`.
    fn token_to_image_scores(&self, task: Task, positioned: &[f32], scores: &mut [f32]) {
        let to_image = self.attention.token_to_image;
        let (width, rows) = (to_image.sizes.width, to_image.sizes.rows());
        let len = to_image.sizes.keys_len(width);
        let lhs = Lhs::row_major(&to_image.keys[task.prompt * len..][..len], width);
        let rhs = Rhs::new(positioned, &self.channel_offsets[..width]);
        let output = StridedOutput { values: scores, stride: STRIDE, rows, add: false };
        product(lhs, rhs, task.pixels, output);
    }

    /// The chunk's part of the online softmax: weighted sums of its tokens `y`, and each row's maximum
    /// and sum of weights.
    fn weighted_sums(&self, task: Task, buffers: ScoreBuffers<'_>, y: &[f32], partial: &mut [f32]) {
        let ScoreBuffers { scores, transposed } = buffers;
        let sizes = self.attention.token_to_image.sizes;
        let (width, rows) = (sizes.width, sizes.rows());
        let wide = rows.next_multiple_of(MAX_LANES);
        transposed.resize(PIXELS * wide, 0.0);
        let (weighted, moments) = partial.split_at_mut(width.next_multiple_of(ROWS) * wide);
        let (largest, sums) = moments.split_at_mut(wide);
        for (row, line) in scores.chunks_exact_mut(STRIDE).take(rows).enumerate() {
            let ScoreMoments { max, sum } = exp_scores(&mut line[..task.pixels]);
            (largest[row], sums[row]) = (max, sum);
        }
        // Writes are sequential, reads are strided: the cheaper order of a transpose.
        for (pixel, line) in transposed.chunks_exact_mut(wide).take(task.pixels).enumerate() {
            for (row, weight) in line[..rows].iter_mut().enumerate() {
                *weight = scores[row * STRIDE + pixel];
            }
        }
        let rhs = Rhs::new(transposed, &self.pixel_offsets[..task.pixels]);
        let output = StridedOutput { values: weighted, stride: wide, rows: width, add: false };
        product(Lhs::row_major(y, STRIDE), rhs, wide, output);
    }

    /// Merges the chunks' partial softmaxes, in the order of the chunks so that the bits repeat:
    /// `[N, E, R]`.
    fn merge(&self, partials: &[f32], len: usize) -> Result<Tensor> {
        let TwoWayAttention { prompts, image_to_token, .. } = *self.attention;
        let sizes = image_to_token.sizes;
        let (width, rows) = (sizes.width, sizes.rows());
        let wide = rows.next_multiple_of(MAX_LANES);
        let whole = width.next_multiple_of(ROWS) * wide;
        let attended = build(sizes.prompts * width * rows, width * rows, |prompt, attended| {
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
            for (line, sums) in attended.chunks_exact_mut(rows).zip(sums.chunks_exact(wide)) {
                let of_row = sums.iter().zip(&total);
                line.iter_mut().zip(of_row).for_each(|(s, (sum, total))| *s = sum / total);
            }
            Ok(())
        })?;
        Tensor::from_vec(attended, (sizes.prompts, width, rows), &Device::Cpu)
    }
}
