//! The two-way transformer for many prompts of one image at once on a GPU: few large matrix
//! multiplications, and few passes over the large tensors.
//!
//! In the first block all prompts have the same image. Its keys, values and queries are computed once,
//! and all prompts' tokens attend to it together; the image is broadcast to the prompts only by the
//! block's image-to-token attention. From then on `image + positions` is not materialised: positions go
//! through each projection once, for all prompts, and are added to the projected image.

use super::block::TwoWayBlock;
use super::{Engine, FinalLayer, TokenInputs, TwoWayOutput, TwoWayTransformer};
use candle_core::{Result, Tensor};
use desam_nn::layers::{Attention, PositionedImage};

impl TwoWayTransformer {
    /// [`forward`](Self::forward) for one image `[1, G·G, E]` and the tokens `[N, T, E]` of any number
    /// of prompts, without gradients.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn forward_batched(
        &self,
        image: &Tensor,
        image_pe: &Tensor,
        tokens: &Tensor,
    ) -> Result<TwoWayOutput> {
        let mut engine = BatchedEngine { image: image.clone(), image_pe, shared: true };
        let tokens = self.run(&mut engine, tokens)?;
        Ok(TwoWayOutput { tokens, image: engine.image })
    }
}

struct BatchedEngine<'a> {
    /// `[1, G·G, E]` while it is shared, then `[N, G·G, E]`.
    image: Tensor,
    image_pe: &'a Tensor,
    /// Whether all prompts still have the same image.
    shared: bool,
}

impl BatchedEngine<'_> {
    fn positioned(&self) -> PositionedImage<'_> {
        PositionedImage { tokens: &self.image, positions: self.image_pe }
    }
}

impl Engine for BatchedEngine<'_> {
    fn attend_to_image(&mut self, attention: &Attention, queries: &Tensor) -> Result<Tensor> {
        if !self.shared {
            return attention.token_to_image(queries, self.positioned());
        }
        // Batch 1: keys and values are computed once for all prompts.
        // This sum is formed, unlike later ones: it is one image, not one for each prompt.
        let positioned = (&self.image + self.image_pe)?;
        let keys_and_values = attention.project_keys_and_values(&positioned, &self.image)?;
        attention.attend_shared(queries, &keys_and_values)
    }

    fn update_image(&mut self, block: &TwoWayBlock, tokens: TokenInputs<'_>) -> Result<()> {
        let TokenInputs { positioned: keys, plain: values } = tokens;
        let norm = block.norm4.parameters();
        self.image = block.image_to_token.image_to_token(self.positioned(), keys, values, norm)?;
        // The residual broadcast the image to all prompts.
        self.shared = false;
        Ok(())
    }

    fn finish(&mut self, last: FinalLayer<'_>, tokens: TokenInputs<'_>) -> Result<Tensor> {
        let attended = last.attention.token_to_image(tokens.positioned, self.positioned())?;
        last.norm.forward(&(tokens.plain + attended)?)
    }
}
