//! Forward pass of the image encoder with adapters in its blocks, with gradients where a parameter of
//! an adapter wants one.

use super::{BlockAdapter, BlockInput, ForwardHook, VitEncoder};
use crate::image_batch::{check_pixels, encode_images};
use candle_core::{Result, Tensor};
use desam_core::ImageFeatures;
use desam_nn::ops::layout::channels_first;

impl VitEncoder {
    /// Features of pixels `[B, 3, S, S]` with `adapter` in every block: images in parallel where no
    /// gradient is wanted, as without adapters.
    pub(crate) fn encode_adapted(
        &self,
        pixels: &Tensor,
        adapter: &dyn BlockAdapter,
    ) -> Result<ImageFeatures> {
        encode_images(&self.spec, pixels, adapter.is_trainable(), |pixels| {
            self.forward_adapted(pixels, adapter, ForwardHook::default())
        })
    }

    /// [`encode_adapted`](Self::encode_adapted) of the whole batch at once, with a `hook` on
    /// intermediate results.
    pub(crate) fn encode_hooked(
        &self,
        pixels: &Tensor,
        adapter: &dyn BlockAdapter,
        hook: ForwardHook<'_>,
    ) -> Result<ImageFeatures> {
        check_pixels(&self.spec, pixels)?;
        self.forward_adapted(pixels, adapter, hook)
    }

    /// The blocks' own ops are those of the pass without adapters, so that an adapter that adds nothing
    /// changes no bit.
    fn forward_adapted(
        &self,
        pixels: &Tensor,
        adapter: &dyn BlockAdapter,
        hook: ForwardHook<'_>,
    ) -> Result<ImageFeatures> {
        let mut x = self.patch_embed.forward(pixels, &self.positions)?;
        hook.call("patch_embed", || x.broadcast_sub(&self.positions))?;
        let shared = adapter.shared(&x)?;
        if let Some(shared) = &shared {
            hook.call("low_level_feature", || Ok(shared.clone()))?;
        }
        let mut taps = Vec::with_capacity(self.spec.tap_channels.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let input = BlockInput { index, shared: shared.as_ref(), hook };
            if let Some(added) = adapter.before_block(&x, input)? {
                input.call("input_adapter", || Ok(added.clone()))?;
                x = (x + added)?;
            }
            let normed = block.norm1(&x)?;
            let mut qkv = block.qkv(&normed)?;
            if let Some(added) = adapter.qkv_update(&normed, input)? {
                qkv = (qkv + added)?;
            }
            input.call("qkv", || qkv.broadcast_add(block.qkv_bias()))?;
            let attended = block.attend_residual_norm2(&qkv, &x)?;
            input.call("attention", || &attended.sum - &x)?;
            input.call("norm2", || Ok(attended.normed.clone()))?;
            let added = adapter.beside_mlp(&attended.normed, input)?;
            x = block.mlp_residual(attended)?;
            if let Some(added) = added {
                x = (x + added)?;
            }
            input.call("out", || Ok(x.clone()))?;
            if block.is_global() && taps.len() < self.spec.tap_channels.len() {
                taps.push(channels_first(&x)?);
            }
        }
        Ok(ImageFeatures { taps, embedding: self.neck.forward(&x)? })
    }
}
