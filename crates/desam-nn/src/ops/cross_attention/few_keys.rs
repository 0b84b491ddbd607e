//! No more keys than queries: scores lie as `[K, Q]`, so that vectors run along the queries, and a
//! stretch of an image's queries is a thread's work.

use super::columns::{gradient_columns, softmax_columns};
use super::cpu::{Gradients, Head, Inputs, Sizes, product, scaled};
use crate::ops::matmul::View;
use crate::ops::vector::{build_pair, ordered_sum, parts};
use candle_core::Result;

/// Queries a thread takes at once: scores against a few keys stay in the nearest cache.
const STRETCH: usize = 512;

/// A stretch of queries of one head of an image.
#[derive(Clone, Copy)]
struct Stretch {
    at: (usize, usize),
    part: (usize, usize),
}

impl Sizes {
    /// All stretches of all images: image, first query, queries.
    fn stretches(&self) -> Vec<(usize, (usize, usize))> {
        let of = |n| parts(self.queries, STRETCH).map(move |part| (n, part));
        (0..self.images).flat_map(of).collect()
    }

    fn queries_of<'a>(&self, q: &'a [f32], stretch: Stretch) -> Head<'a> {
        self.head(q, stretch.at, self.queries, stretch.part)
    }

    fn keys_of<'a>(&self, k: &'a [f32], at: (usize, usize)) -> Head<'a> {
        self.head(k, at, self.keys, (0, self.keys))
    }

    /// `weights [K, Q] ← softmax(k qᵀ)`, `k` scaled before.
    fn weigh_columns(
        &self,
        k: &[f32],
        q: &[f32],
        stretch: Stretch,
        weights: &mut [f32],
    ) -> Result<()> {
        let len = stretch.part.1;
        let (k, q) = (self.keys_of(k, stretch.at), self.queries_of(q, stretch));
        product((&mut *weights, View::dense(self.keys, len)), k, q.t())?;
        softmax_columns(weights, len);
        Ok(())
    }
}

pub(super) fn forward(Inputs { q, k, v }: Inputs<'_>, sizes: Sizes) -> Result<Vec<f32>> {
    let Sizes { keys, heads, per_head, .. } = sizes;
    let k = scaled(k, sizes.scale());
    let stretches = sizes.stretches();
    let lens: Vec<_> = stretches.iter().map(|(_, (_, n))| [n * sizes.channels(), 0]).collect();
    let [y, _] = build_pair(&lens, |i, [y, _]| {
        let (image, part) = stretches[i];
        let mut weights = vec![0f32; keys * part.1];
        for head in 0..heads {
            let stretch = Stretch { at: (image, head), part };
            sizes.weigh_columns(&k, q, stretch, &mut weights)?;
            let weights = Head::dense(&weights, keys, part.1).t();
            let v = sizes.keys_of(v, stretch.at);
            product((&mut y[head * per_head..], sizes.view(part.1)), weights, v)?;
        }
        Ok(())
    })?;
    Ok(y)
}

pub(super) fn backward(
    Inputs { q, k, v }: Inputs<'_>,
    grad: &[f32],
    sizes: Sizes,
) -> Result<Gradients> {
    let Sizes { images, keys, heads, per_head, .. } = sizes;
    let (scaled_k, of_keys) = (scaled(k, sizes.scale()), keys * sizes.channels());
    let stretches = sizes.stretches();
    let lens: Vec<_> =
        stretches.iter().map(|(_, (_, n))| [n * sizes.channels(), 2 * of_keys]).collect();
    // For each stretch: its queries' gradient, and what it adds to that of keys and values.
    let [dq, added] = build_pair(&lens, |i, [dq, added]| {
        let (image, part) = stretches[i];
        let (dk, dv) = added.split_at_mut(of_keys);
        let mut scores = vec![0f32; 2 * keys * part.1];
        let (weights, ds) = scores.split_at_mut(keys * part.1);
        for head in 0..heads {
            let stretch = Stretch { at: (image, head), part };
            sizes.weigh_columns(&scaled_k, q, stretch, weights)?;
            let g = sizes.queries_of(grad, stretch);
            let v = sizes.keys_of(v, stretch.at);
            product((&mut *ds, View::dense(keys, part.1)), v, g.t())?;
            gradient_columns(weights, ds, part.1);
            let (w, s) = (Head::dense(weights, keys, part.1), Head::dense(ds, keys, part.1));
            let start = head * per_head;
            let k = sizes.keys_of(&scaled_k, stretch.at);
            product((&mut dq[start..], sizes.view(part.1)), s.t(), k)?;
            product((&mut dk[start..], sizes.view(keys)), s, sizes.queries_of(q, stretch))?;
            product((&mut dv[start..], sizes.view(keys)), w, g)?;
        }
        Ok(())
    })?;
    let (mut dk, mut dv) = (Vec::new(), Vec::new());
    let blocks = (stretches.len() / images.max(1)) * 2 * of_keys;
    for n in 0..images {
        let mut sum = ordered_sum(&added[n * blocks..(n + 1) * blocks], 2 * of_keys);
        dv.extend(sum.drain(of_keys..));
        dk.extend(sum.into_iter().map(|v| v * sizes.scale()));
    }
    Ok(Gradients { q: dq, k: dk, v: dv })
}
