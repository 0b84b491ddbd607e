//! The two-way transformer for many prompts of one image at once, as a GPU wants it: few large
//! products, and what is large read and written seldom.
//!
//! In the first block the image is the same to all prompts. Its keys and values, and its queries, are
//! made once, and all prompts' tokens look at it together; the prompts' images come apart with the
//! block's answer. The image with its positions is never made: positions go through each map once, for
//! all prompts, and are added to what the image becomes there.

use super::{TwoWayOutput, TwoWayTransformer};
use candle_core::{Result, Tensor};
use desam_nn::layers::PositionedImage;

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
        let pe = tokens;
        let (mut x, mut image) = (tokens.clone(), image.clone());
        fn positioned<'a>(tokens: &'a Tensor, positions: &'a Tensor) -> PositionedImage<'a> {
            PositionedImage { tokens, positions }
        }
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.among_tokens(&x, pe)?;
            let asking = (&x + pe)?;
            let seen = if i == 0 {
                let placed = (&image + image_pe)?;
                let looked_at = block.token_to_image.project_keys_and_values(&placed, &image)?;
                block.token_to_image.attend_shared(&asking, &looked_at)?
            } else {
                block.token_to_image.token_to_image(&asking, positioned(&image, image_pe))?
            };
            x = block.heard(&x, &seen)?;
            let (keys, norm) = ((&x + pe)?, block.norm4.parameters());
            image = block.image_to_token.image_to_token(
                positioned(&image, image_pe),
                &keys,
                &x,
                norm,
            )?;
        }
        let last =
            (&x + self.final_attn.token_to_image(&(&x + pe)?, positioned(&image, image_pe))?)?;
        Ok(TwoWayOutput { tokens: self.norm.forward(&last)?, image })
    }
}
