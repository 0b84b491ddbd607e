//! Attention by kernels.

use super::heads::AttentionSizes;
use crate::gpu::apply;
use candle_core::{Result, Tensor};
use desam_kernels::ops::cross_attention::{CrossAttention, CrossAttentionSizes};

/// `None` where no kernel takes the width of a head or the types differ.
pub(super) fn cross_attention(qkv: [&Tensor; 3], heads: usize) -> Result<Option<Tensor>> {
    let [q, k, v] = qkv;
    let sizes = AttentionSizes::new(q.shape(), k.shape(), v.shape(), heads)?;
    let AttentionSizes { images, queries, keys, heads, per_head } = sizes;
    let sizes = CrossAttentionSizes { images, queries, keys, heads, per_head };
    let Some(op) = CrossAttention::new(qkv, sizes)? else { return Ok(None) };
    let q = op.queries(q)?;
    apply(op, &[&q, k, v]).map(Some)
}
