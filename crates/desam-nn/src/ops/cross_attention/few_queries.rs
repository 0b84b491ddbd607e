//! More keys than queries: scores lie as `[Q, K]`, and a head of an image is a thread's work.

use super::cpu::{Gradients, Head, Inputs, Sizes, product, scaled};
use crate::ops::matmul::View;
use crate::ops::softmax::{gradient_rows, softmax_rows};
use crate::ops::vector::{build, build_pair, parts};
use candle_core::Result;

/// Keys that get their gradients at once.
const STRETCH: usize = 512;

impl Sizes {
    fn scores(&self) -> usize {
        self.queries * self.keys
    }

    /// `weights ← softmax(q kᵀ)`, `q` scaled before.
    fn weigh(&self, q: &[f32], k: &[f32], at: (usize, usize), weights: &mut [f32]) -> Result<()> {
        let q = self.head(q, at, self.queries, (0, self.queries));
        let k = self.head(k, at, self.keys, (0, self.keys));
        product((&mut *weights, View::dense(self.queries, self.keys)), q, k.t())?;
        softmax_rows(weights, self.keys);
        Ok(())
    }

    /// `[N, heads, Q, D]` → `[N, Q, heads · D]`.
    fn join(&self, by_head: &[f32]) -> Vec<f32> {
        let mut joined = vec![0f32; by_head.len()];
        let (d, channels) = (self.per_head.max(1), self.channels());
        for (i, token) in by_head.chunks_exact(d).enumerate() {
            let (head, query) = (i / self.queries, i % self.queries);
            let row = head / self.heads * self.queries + query;
            joined[row * channels + head % self.heads * d..][..d].copy_from_slice(token);
        }
        joined
    }
}

pub(super) fn forward(Inputs { q, k, v }: Inputs<'_>, sizes: Sizes) -> Result<Vec<f32>> {
    let Sizes { images, queries, keys, heads, per_head } = sizes;
    let q = scaled(q, sizes.scale());
    let by_head = build(images * heads * queries * per_head, queries * per_head, |i, y| {
        let at = (i / heads, i % heads);
        let mut weights = vec![0f32; sizes.scores()];
        sizes.weigh(&q, k, at, &mut weights)?;
        let weights = Head::dense(&weights, queries, keys);
        product((y, View::dense(queries, per_head)), weights, sizes.head(v, at, keys, (0, keys)))
    })?;
    Ok(sizes.join(&by_head))
}

pub(super) fn backward(
    Inputs { q, k, v }: Inputs<'_>,
    grad: &[f32],
    sizes: Sizes,
) -> Result<Gradients> {
    let Sizes { images, queries, keys, heads, per_head } = sizes;
    let (scores, all_queries) = (sizes.scores(), (0, queries));
    let q = scaled(q, sizes.scale());
    let each_head = vec![[2 * scores, queries * per_head]; images * heads];
    // For each head: the weights, the gradient of its scores, and the queries' own gradient.
    let [kept, dq] = build_pair(&each_head, |i, [kept, dq]| {
        let at = (i / heads, i % heads);
        let (weights, ds) = kept.split_at_mut(scores);
        sizes.weigh(&q, k, at, weights)?;
        let g = sizes.head(grad, at, queries, all_queries);
        let v = sizes.head(v, at, keys, (0, keys));
        product((&mut *ds, View::dense(queries, keys)), g, v.t())?;
        gradient_rows(weights, ds, keys);
        let ds = Head::dense(ds, queries, keys);
        let k = sizes.head(k, at, keys, (0, keys));
        product((dq, View::dense(queries, per_head)), ds, k)
    })?;
    let channels = sizes.channels();
    let stretches: Vec<_> =
        (0..images).flat_map(|n| parts(keys, STRETCH).map(move |part| (n, part))).collect();
    let lens: Vec<_> = stretches.iter().map(|(_, (_, len))| [len * channels; 2]).collect();
    let [dk, dv] = build_pair(&lens, |i, [dk, dv]| {
        let (image, (from, len)) = stretches[i];
        for head in 0..heads {
            let at = (image, head);
            let kept = &kept[(image * heads + head) * 2 * scores..][..2 * scores];
            let (weights, ds) = kept.split_at(scores);
            let part = |of| Head { numbers: of, view: View::strided(queries, len, keys).t() };
            let out = sizes.view(len);
            let q = sizes.head(&q, at, queries, all_queries);
            let g = sizes.head(grad, at, queries, all_queries);
            product((&mut dk[head * per_head..], out), part(&ds[from..]), q)?;
            product((&mut dv[head * per_head..], out), part(&weights[from..]), g)?;
        }
        Ok(())
    })?;
    Ok(Gradients { q: scaled(&sizes.join(&dq), sizes.scale()), k: dk, v: dv })
}
