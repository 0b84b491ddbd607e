//! The two-way transformer for many prompts of one image, without gradients.
//!
//! In the first block nothing of the image depends on the prompt: its keys and values, and its
//! queries, are made once. From there on each prompt has an image of its own, which is gone over
//! once a block: image to tokens, norm, and the tokens' next look at it (see
//! [`desam_nn::ops::two_way_attention`]).

use super::TwoWayTransformer;
use candle_core::{Result, Tensor};
use desam_nn::layers::KeysAndValues;
use desam_nn::ops::two_way_attention::{
    ImageTiles, ImageTokens, TwoWayAttention, TwoWayAttentionOutput,
};

/// What the transformer makes of an image before any prompt.
#[derive(Debug)]
pub(crate) struct SharedImage {
    tokens: ImageTiles,
    positions: ImageTiles,
    /// The first block's, image to tokens.
    queries: ImageTiles,
    /// The first block's, tokens to image.
    looked_at: KeysAndValues,
}

/// What it makes of tokens and image.
#[derive(Debug)]
pub(crate) struct SharedOutput {
    /// Tokens, `[N, T, E]`.
    pub(crate) tokens: Tensor,
    /// Image tokens of the prompts that count, `[prompts, E, P]`, where they are wanted.
    pub(crate) image: Option<ImageTiles>,
}

impl TwoWayTransformer {
    /// `image` and `positions` `[1, E, P]`, f32 on the CPU.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn share(&self, image: &Tensor, positions: &Tensor) -> Result<SharedImage> {
        let Some(first) = self.blocks.first() else {
            candle_core::bail!("a two-way transformer without blocks shares nothing");
        };
        let rows = |t: &Tensor| t.transpose(1, 2)?.contiguous();
        let (x, placed) = (rows(image)?, rows(&(image + positions)?)?);
        let queries = first.image_to_token.project_queries(&placed)?.transpose(1, 2)?;
        Ok(SharedImage {
            tokens: ImageTiles::cut(image)?,
            positions: ImageTiles::cut(positions)?,
            queries: ImageTiles::cut(&queries)?,
            looked_at: first.token_to_image.project_keys_and_values(&placed, &x)?,
        })
    }

    /// [`forward`](Self::forward) for `tokens [N, T, E]`, of which the first `prompts` count.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn forward_shared(
        &self,
        shared: &SharedImage,
        tokens: &Tensor,
        prompts: usize,
        keep_image: bool,
    ) -> Result<SharedOutput> {
        let pe = tokens;
        let Some(first) = self.blocks.first() else {
            candle_core::bail!("a two-way transformer without blocks reads nothing");
        };
        let mut x = first.among_tokens(tokens, pe)?;
        let mut from_image = first.token_to_image.attend_shared(&(&x + pe)?, &shared.looked_at)?;
        let mut image: Option<ImageTiles> = None;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.heard(&x, &from_image)?;
            let image_to_token = block.image_to_token.absorbed_query(&(&x + pe)?, &x, i == 0)?;
            let (looks, last) = match self.blocks.get(i + 1) {
                Some(next) => {
                    x = next.among_tokens(&x, pe)?;
                    (&next.token_to_image, false)
                }
                None => (&self.final_attn, true),
            };
            let attention = TwoWayAttention {
                image_to_token: &image_to_token,
                norm: block.norm4.parameters(),
                token_to_image: &looks.absorbed_key(&(&x + pe)?)?,
                prompts,
                keep_image: keep_image || !last,
            };
            let before = ImageTokens {
                tokens: image.as_ref().unwrap_or(&shared.tokens),
                positions: &shared.positions,
                queries: (i == 0).then_some(&shared.queries),
            };
            let TwoWayAttentionOutput { image: after, attended } = attention.run(before)?;
            from_image = looks.absorbed_value(&attended)?;
            image = after;
        }
        Ok(SharedOutput { tokens: self.norm.forward(&(&x + from_image)?)?, image })
    }
}
