//! Two-way attention between the tokens of many prompts and one image, with weight absorption, in one
//! pass over the image, without gradients.
//!
//! SAM's decoder lets the image attend to a prompt's few tokens ([`ImageToToken`]), normalises it, and
//! lets the tokens attend to the image ([`TokenToImage`]). With `T` tokens and `heads` heads there are
//! only `R = T · heads` rows of scores, fewer than the channels inside an attention. So the image is
//! not projected at all; its projections are absorbed into the tokens, which are few ("weight
//! absorption", as in multi-head latent attention, MLA):
//!
//! - absorbed key or query: a score `q · (W x + b)` is `(Wᵀ q) · x + q · b`;
//! - absorbed value: a weighted sum of `W x + b` is `W` times the weighted sum of `x`, plus `b`, for
//!   weights that sum to one;
//! - the output projection is applied to the tokens' values before the weighted sum.
//!
//! The second attention is a flash attention: an online softmax over chunks of pixels, whose partial
//! sums are merged in their order.
//!
//! Letters are those of the crate's layers: `N` prompts, `T` tokens, `P` pixels, `E` channels.
//! The sums run in another order than those of [`cross_attention`](super::cross_attention), which
//! defines the result.

mod absorbed;
mod cpu;
mod kernels;
mod tiles;
mod values;

pub use absorbed::{ImageToToken, ProjectedTokens, TokenToImage};
pub use tiles::ImageTiles;
pub(crate) use values::absorbed_value;

use super::layer_norm::NormParameters;
use candle_core::{Result, Tensor, bail};

/// The image before a [`TwoWayAttention`].
#[derive(Debug, Clone, Copy)]
pub struct ImageTokens<'a> {
    /// `[1, E, P]`, the same for all prompts, or `[N, E, P]`.
    pub tokens: &'a ImageTiles,
    /// Positional encodings, `[1, E, P]`.
    pub positions: &'a ImageTiles,
    /// Projected queries `[1, inner, P]`, where all prompts share them, for an [`ImageToToken`] whose
    /// keys do not absorb the query projection. Without them the queries are those of the tokens with
    /// their positions.
    pub queries: Option<&'a ImageTiles>,
}

/// One block's attention in both directions, with the norm between.
#[derive(Debug, Clone, Copy)]
pub struct TwoWayAttention<'a> {
    /// Image-to-token attention: keys and values of the tokens.
    pub image_to_token: &'a ImageToToken,
    /// Layer norm of the image after that attention and its residual.
    pub norm: NormParameters<'a>,
    /// Token-to-image attention, to the updated image tokens; keys include the positional encoding.
    pub token_to_image: &'a TokenToImage,
    /// Prompts that are computed, from the first; the output of the others is zeros.
    pub prompts: usize,
    /// Whether the image's new tokens are returned.
    pub keep_image: bool,
}

/// Output of a [`TwoWayAttention`].
#[derive(Debug)]
pub struct TwoWayAttentionOutput {
    /// The image's new tokens for each computed prompt, if they are kept.
    pub image: Option<ImageTiles>,
    /// The image's new tokens, averaged by the attention weights of each prompt and row of scores,
    /// `[N, E, R]`; the value projection is still to be applied
    /// ([`Attention::absorbed_value`](crate::layers::Attention::absorbed_value)).
    pub attended: Tensor,
}

impl TwoWayAttention<'_> {
    /// Runs both attentions in one pass over the image. A prompt's bits depend neither on the other
    /// prompts nor on the number of threads.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn run(&self, image: ImageTokens<'_>) -> Result<TwoWayAttentionOutput> {
        let (to_token, to_image) = (self.image_to_token.sizes, self.token_to_image.sizes);
        let [tokens, positions] = [image.tokens, image.positions];
        let queries = image.queries.map_or(tokens, |q| q);
        let per_head = image.queries.is_some();
        let fits = tokens.channels() == to_token.width
            && positions.channels() == to_token.width
            && queries.channels() == if per_head { to_token.inner } else { to_token.width }
            && per_head == self.image_to_token.per_head
            && (tokens.pixels(), queries.pixels()) == (positions.pixels(), positions.pixels())
            && (tokens.images() == 1 || tokens.images() == self.prompts)
            && positions.images() == 1
            && (queries.images() == 1 || !per_head)
            && (to_token.width, to_token.rows(), to_token.prompts)
                == (to_image.width, to_image.rows(), to_image.prompts)
            && self.prompts <= to_token.prompts
            && positions.pixels() > 0;
        if !fits {
            bail!(
                "two-way attention: an image of {tokens:?}, tokens of {to_token:?} and {to_image:?}"
            );
        }
        cpu::run(self, image)
    }
}

#[cfg(test)]
mod tests;
