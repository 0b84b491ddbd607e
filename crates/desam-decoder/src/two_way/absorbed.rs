//! The two-way transformer for many prompts of one image on a CPU, without gradients, its image
//! projections absorbed into the tokens ([`desam_nn::ops::two_way_attention`]).
//!
//! In the first block nothing of the image depends on the prompt: its keys and values, and its
//! queries, are computed once ([`SharedImage`]). From there on each prompt has its own image, and a
//! block makes one pass over it: image-to-token attention, norm, and the next token-to-image
//! attention. So an update of the image is deferred until the queries that follow it are known.

use super::block::TwoWayBlock;
use super::{Engine, FinalLayer, TokenInputs, TwoWayTransformer};
use candle_core::{Result, Tensor};
use desam_nn::layers::{Attention, KeysAndValues, LayerNorm};
use desam_nn::ops::two_way_attention::{
    ImageTiles, ImageToToken, ImageTokens, TwoWayAttention, TwoWayAttentionOutput,
};

/// Prompt-independent inputs of the transformer, computed once an image.
#[derive(Debug)]
pub(crate) struct SharedImage {
    tokens: ImageTiles,
    positions: ImageTiles,
    /// Queries of the first block's image-to-token attention.
    queries: ImageTiles,
    /// Keys and values of the first block's token-to-image attention.
    keys_and_values: KeysAndValues,
}

/// Outputs of the transformer for a group of prompts.
#[derive(Debug)]
pub(crate) struct AbsorbedOutput {
    /// Tokens, `[N, T, E]`.
    pub(crate) tokens: Tensor,
    /// Image tokens of the prompts that count, `[prompts, E, P]`, if requested.
    pub(crate) image: Option<ImageTiles>,
}

/// Options of an absorbed forward pass over a group of prompts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AbsorbedOptions {
    /// Prompts that count, from the first; the others only fill the group.
    pub(crate) prompts: usize,
    /// Whether the image tokens are needed, and not the tokens alone.
    pub(crate) keep_image: bool,
}

impl TwoWayTransformer {
    /// The prompt-independent part of [`forward_absorbed`](Self::forward_absorbed): `image` and
    /// `positions` `[1, E, P]`, f32 on the CPU.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn share(&self, image: &Tensor, positions: &Tensor) -> Result<SharedImage> {
        let Some(first) = self.blocks.first() else {
            candle_core::bail!("a two-way transformer without blocks shares nothing");
        };
        let rows = |t: &Tensor| t.transpose(1, 2)?.contiguous();
        let (x, positioned) = (rows(image)?, rows(&(image + positions)?)?);
        // Tiles have pixels innermost, so that a SIMD lane is a pixel.
        let queries = first.image_to_token.project_queries(&positioned)?.transpose(1, 2)?;
        Ok(SharedImage {
            tokens: ImageTiles::cut(image)?,
            positions: ImageTiles::cut(positions)?,
            queries: ImageTiles::cut(&queries)?,
            keys_and_values: first.token_to_image.project_keys_and_values(&positioned, &x)?,
        })
    }

    /// [`forward`](Self::forward) for `tokens [N, T, E]` of prompts that share an image.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn forward_absorbed(
        &self,
        shared: &SharedImage,
        tokens: &Tensor,
        options: AbsorbedOptions,
    ) -> Result<AbsorbedOutput> {
        let mut engine = AbsorbedEngine { shared, options, image: None, pending: None };
        let tokens = self.run(&mut engine, tokens)?;
        Ok(AbsorbedOutput { tokens, image: engine.image })
    }
}

struct AbsorbedEngine<'a> {
    shared: &'a SharedImage,
    options: AbsorbedOptions,
    /// The prompts' images; the shared one before the first update.
    image: Option<ImageTiles>,
    /// The update of the image that the next attention to it carries out.
    pending: Option<PendingUpdate>,
}

/// An image-to-token attention that has not been computed yet.
struct PendingUpdate {
    image_to_token: ImageToToken,
    norm: LayerNorm,
}

impl AbsorbedEngine<'_> {
    /// One pass over the image: the pending update, then `attention` to the result.
    fn update_and_attend(
        &mut self,
        update: &PendingUpdate,
        attention: &Attention,
        queries: &Tensor,
        keep_image: bool,
    ) -> Result<Tensor> {
        let shared = self.shared;
        let two_way = TwoWayAttention {
            image_to_token: &update.image_to_token,
            norm: update.norm.parameters(),
            token_to_image: &attention.absorbed_key(queries)?,
            prompts: self.options.prompts,
            keep_image,
        };
        let before = ImageTokens {
            tokens: self.image.as_ref().unwrap_or(&shared.tokens),
            positions: &shared.positions,
            // Precomputed for the shared image. Later images differ from prompt to prompt, and have no precomputed queries.
            queries: self.image.is_none().then_some(&shared.queries),
        };
        let TwoWayAttentionOutput { image, attended } = two_way.run(before)?;
        self.image = image;
        attention.absorbed_value(&attended)
    }
}

impl Engine for AbsorbedEngine<'_> {
    fn attend_to_image(&mut self, attention: &Attention, queries: &Tensor) -> Result<Tensor> {
        match self.pending.take() {
            // The updated image is needed by the next block, whatever the caller keeps.
            Some(update) => self.update_and_attend(&update, attention, queries, true),
            None => attention.attend_shared(queries, &self.shared.keys_and_values),
        }
    }

    fn update_image(&mut self, block: &TwoWayBlock, tokens: TokenInputs<'_>) -> Result<()> {
        // The first block's image is still the shared one, whose queries `share` has projected.
        // Later images differ from prompt to prompt: there the query projection is absorbed into
        // the keys.
        let queries_are_shared = self.image.is_none();
        let TokenInputs { positioned, plain } = tokens;
        let image_to_token =
            block.image_to_token.absorbed_query(positioned, plain, queries_are_shared)?;
        self.pending = Some(PendingUpdate { image_to_token, norm: block.norm4.clone() });
        Ok(())
    }

    fn finish(&mut self, last: FinalLayer<'_>, tokens: TokenInputs<'_>) -> Result<Tensor> {
        let Some(update) = self.pending.take() else {
            candle_core::bail!("a two-way transformer without blocks does not attend");
        };
        // Nothing attends to the image after this, so the update is stored only on request.
        let keep_image = self.options.keep_image;
        let attended =
            self.update_and_attend(&update, last.attention, tokens.positioned, keep_image)?;
        last.norm.forward(&(tokens.plain + attended)?)
    }
}
