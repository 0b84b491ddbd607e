//! No more keys than queries: scores are `[K, Q]`, so that vectors run along the queries, and a task is
//! a chunk of an image's queries.

use super::columns::{gradient_columns, softmax_columns};
use super::heads::{AttentionSizes, Gradients, HeadIndex, Inputs, TokenRange, product, scaled};
use crate::ops::matmul::{Matrix, View};
use crate::ops::vector::{build_pair, ordered_sum, parts};
use candle_core::Result;

/// Queries of a chunk: its scores against a few keys stay in the L1 cache.
const CHUNK: usize = 512;

/// A chunk of the queries of one head.
#[derive(Clone, Copy)]
struct QueryChunk {
    of: HeadIndex,
    queries: TokenRange,
}

impl AttentionSizes {
    /// All chunks of all images: image and queries.
    fn chunks(&self) -> Vec<(usize, TokenRange)> {
        let range = |(from, len)| TokenRange { from, len };
        let of = |n| parts(self.queries, CHUNK).map(move |part| (n, range(part)));
        (0..self.images).flat_map(of).collect()
    }

    fn queries_of<'a>(&self, q: &'a [f32], chunk: QueryChunk) -> Matrix<'a, f32> {
        self.head(q, chunk.of, self.queries, chunk.queries)
    }

    fn keys_of<'a>(&self, k: &'a [f32], of: HeadIndex) -> Matrix<'a, f32> {
        self.head(k, of, self.keys, TokenRange::first(self.keys))
    }

    /// Attention weights `weights [K, Q] ← softmax(k qᵀ)`, `k` scaled before.
    fn attention_weight_columns(
        &self,
        k: &[f32],
        q: &[f32],
        chunk: QueryChunk,
        weights: &mut [f32],
    ) -> Result<()> {
        let len = chunk.queries.len;
        let (k, q) = (self.keys_of(k, chunk.of), self.queries_of(q, chunk));
        product(View::dense(self.keys, len).on_mut(weights), k, q.t())?;
        softmax_columns(weights, len);
        Ok(())
    }
}

pub(super) fn forward(Inputs { q, k, v }: Inputs<'_>, sizes: AttentionSizes) -> Result<Vec<f32>> {
    let AttentionSizes { keys, heads, per_head, .. } = sizes;
    let k = scaled(k, sizes.scale());
    let chunks = sizes.chunks();
    let lens: Vec<_> =
        chunks.iter().map(|(_, queries)| [queries.len * sizes.channels(), 0]).collect();
    let [y, _] = build_pair(&lens, |i, [y, _]| {
        let (image, queries) = chunks[i];
        let mut weights = vec![0f32; keys * queries.len];
        for head in 0..heads {
            let chunk = QueryChunk { of: HeadIndex { image, head }, queries };
            sizes.attention_weight_columns(&k, q, chunk, &mut weights)?;
            let weights = View::dense(keys, queries.len).on(&weights).t();
            let v = sizes.keys_of(v, chunk.of);
            product(sizes.view(queries.len).on_mut(&mut y[head * per_head..]), weights, v)?;
        }
        Ok(())
    })?;
    Ok(y)
}

pub(super) fn backward(
    Inputs { q, k, v }: Inputs<'_>,
    grad: &[f32],
    sizes: AttentionSizes,
) -> Result<Gradients> {
    let AttentionSizes { images, keys, heads, per_head, .. } = sizes;
    let (scaled_k, of_keys) = (scaled(k, sizes.scale()), keys * sizes.channels());
    let chunks = sizes.chunks();
    let lens: Vec<_> =
        chunks.iter().map(|(_, queries)| [queries.len * sizes.channels(), 2 * of_keys]).collect();
    // For each chunk: its queries' gradient, and its partial sums of the keys' and values'.
    let [dq, partial] = build_pair(&lens, |i, [dq, partial]| {
        let (image, queries) = chunks[i];
        let (dk, dv) = partial.split_at_mut(of_keys);
        let mut scores = vec![0f32; 2 * keys * queries.len];
        let (weights, ds) = scores.split_at_mut(keys * queries.len);
        for head in 0..heads {
            let chunk = QueryChunk { of: HeadIndex { image, head }, queries };
            sizes.attention_weight_columns(&scaled_k, q, chunk, weights)?;
            let g = sizes.queries_of(grad, chunk);
            let v = sizes.keys_of(v, chunk.of);
            product(View::dense(keys, queries.len).on_mut(ds), v, g.t())?;
            gradient_columns(weights, ds, queries.len);
            let (w, s) =
                (View::dense(keys, queries.len).on(weights), View::dense(keys, queries.len).on(ds));
            let start = head * per_head;
            let k = sizes.keys_of(&scaled_k, chunk.of);
            product(sizes.view(queries.len).on_mut(&mut dq[start..]), s.t(), k)?;
            product(sizes.view(keys).on_mut(&mut dk[start..]), s, sizes.queries_of(q, chunk))?;
            product(sizes.view(keys).on_mut(&mut dv[start..]), w, g)?;
        }
        Ok(())
    })?;
    let (mut dk, mut dv) = (Vec::new(), Vec::new());
    let blocks = (chunks.len() / images.max(1)) * 2 * of_keys;
    // In the order of the chunks, so that the bits do not depend on the threads.
    for n in 0..images {
        let mut sum = ordered_sum(&partial[n * blocks..(n + 1) * blocks], 2 * of_keys);
        dv.extend(sum.drain(of_keys..));
        dk.extend(sum.into_iter().map(|v| v * sizes.scale()));
    }
    Ok(Gradients { q: dq, k: dk, v: dv })
}
