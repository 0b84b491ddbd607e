//! The two-way transformer for many prompts of one image at once, as a GPU wants it: few large
//! products.
//!
//! In the first block the image is the same to all prompts. Its keys and values, and its queries, are
//! made once, and all prompts' tokens look at it together; the prompts' images come apart with the
//! block's answer. After that it is a batch like any other.

use super::{TwoWayOutput, TwoWayTransformer};
use candle_core::{Result, Tensor};

impl TwoWayTransformer {
    /// [`forward`](Self::forward) for one image `[1, G·G, E]` and the tokens `[N, T, E]` of any number
    /// of prompts, without gradients.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn forward_of_one(
        &self,
        image: &Tensor,
        image_pe: &Tensor,
        tokens: &Tensor,
    ) -> Result<TwoWayOutput> {
        let Some((first, rest)) = self.blocks.split_first() else {
            candle_core::bail!("a two-way transformer without blocks reads nothing");
        };
        let placed = (image + image_pe)?;
        let x = first.among_tokens(tokens, tokens)?;
        let looked_at = first.token_to_image.keys_and_values(&placed, image)?;
        let seen = first.token_to_image.attend(&(&x + tokens)?, &looked_at)?;
        let x = first.heard(&x, &seen)?;
        let queries = first.image_to_token.queries(&placed)?;
        let told = [&(&x + tokens)?, &x];
        let image = first.image_to_token.answer_normed(&queries, told, image, &first.norm4)?;
        let mut x = TwoWayOutput { image, tokens: x };
        for block in rest {
            x = block.forward(x, tokens, image_pe)?;
        }
        self.finish(x, tokens, image_pe)
    }
}
