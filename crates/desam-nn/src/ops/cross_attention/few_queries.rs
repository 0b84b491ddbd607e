//! More keys than queries: scores are `[Q, K]`, and a task is one head of one image.

use super::heads::{AttentionSizes, Gradients, HeadIndex, Inputs, TokenRange, product, scaled};
use crate::ops::matmul::View;
use crate::ops::softmax::{gradient_rows, softmax_rows};
use crate::ops::vector::{build, build_pair, parts};
use candle_core::Result;

/// Keys of a task of the backward pass.
const CHUNK: usize = 512;

impl AttentionSizes {
    fn scores(&self) -> usize {
        self.queries * self.keys
    }

    /// Attention weights `weights ← softmax(q kᵀ)`, `q` scaled before.
    fn attention_weights(
        &self,
        q: &[f32],
        k: &[f32],
        at: HeadIndex,
        weights: &mut [f32],
    ) -> Result<()> {
        let q = self.head(q, at, self.queries, TokenRange::first(self.queries));
        let k = self.head(k, at, self.keys, TokenRange::first(self.keys));
        product(View::dense(self.queries, self.keys).on_mut(weights), q, k.t())?;
        softmax_rows(weights, self.keys);
        Ok(())
    }

    /// Concatenates heads: `[N, heads, Q, D]` → `[N, Q, heads · D]`.
    fn concat_heads(&self, by_head: &[f32]) -> Vec<f32> {
        let mut concatenated = vec![0f32; by_head.len()];
        let (d, channels) = (self.per_head.max(1), self.channels());
        for (i, token) in by_head.chunks_exact(d).enumerate() {
            let (head, query) = (i / self.queries, i % self.queries);
            let row = head / self.heads * self.queries + query;
            concatenated[row * channels + head % self.heads * d..][..d].copy_from_slice(token);
        }
        concatenated
    }
}

pub(super) fn forward(Inputs { q, k, v }: Inputs<'_>, sizes: AttentionSizes) -> Result<Vec<f32>> {
    let AttentionSizes { images, queries, keys, heads, per_head } = sizes;
    let q = scaled(q, sizes.scale());
    let by_head = build(images * heads * queries * per_head, queries * per_head, |i, y| {
        let at = HeadIndex { image: i / heads, head: i % heads };
        let mut weights = vec![0f32; sizes.scores()];
        sizes.attention_weights(&q, k, at, &mut weights)?;
        let weights = View::dense(queries, keys).on(&weights);
        product(
            View::dense(queries, per_head).on_mut(y),
            weights,
            sizes.head(v, at, keys, TokenRange::first(keys)),
        )
    })?;
    Ok(sizes.concat_heads(&by_head))
}

pub(super) fn backward(
    Inputs { q, k, v }: Inputs<'_>,
    grad: &[f32],
    sizes: AttentionSizes,
) -> Result<Gradients> {
    let AttentionSizes { images, queries, keys, heads, per_head } = sizes;
    let (scores, all_queries) = (sizes.scores(), TokenRange::first(queries));
    let q = scaled(q, sizes.scale());
    let each_head = vec![[2 * scores, queries * per_head]; images * heads];
    // For each head: the weights, the gradient of the scores, and that of the queries.
    let [kept, dq] = build_pair(&each_head, |i, [kept, dq]| {
        let at = HeadIndex { image: i / heads, head: i % heads };
        let (weights, ds) = kept.split_at_mut(scores);
        sizes.attention_weights(&q, k, at, weights)?;
        let g = sizes.head(grad, at, queries, all_queries);
        let v = sizes.head(v, at, keys, TokenRange::first(keys));
        product(View::dense(queries, keys).on_mut(ds), g, v.t())?;
        gradient_rows(weights, ds, keys);
        let ds = View::dense(queries, keys).on(ds);
        let k = sizes.head(k, at, keys, TokenRange::first(keys));
        product(View::dense(queries, per_head).on_mut(dq), ds, k)
    })?;
    let channels = sizes.channels();
    let chunks: Vec<_> =
        (0..images).flat_map(|n| parts(keys, CHUNK).map(move |part| (n, part))).collect();
    let lens: Vec<_> = chunks.iter().map(|(_, (_, len))| [len * channels; 2]).collect();
    let [dk, dv] = build_pair(&lens, |i, [dk, dv]| {
        let (image, (from, len)) = chunks[i];
        for head in 0..heads {
            let at = HeadIndex { image, head };
            let kept = &kept[(image * heads + head) * 2 * scores..][..2 * scores];
            let (weights, ds) = kept.split_at(scores);
            let part = |of| View::strided(queries, len, keys).on(of).t();
            let out = sizes.view(len);
            let q = sizes.head(&q, at, queries, all_queries);
            let g = sizes.head(grad, at, queries, all_queries);
            product(out.on_mut(&mut dk[head * per_head..]), part(&ds[from..]), q)?;
            product(out.on_mut(&mut dv[head * per_head..]), part(&weights[from..]), g)?;
        }
        Ok(())
    })?;
    Ok(Gradients { q: scaled(&sizes.concat_heads(&dq), sizes.scale()), k: dk, v: dv })
}
