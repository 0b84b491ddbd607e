//! What the tokens of many prompts and the tokens of one image tell each other, in one pass over
//! the image, without gradients.
//!
//! SAM's decoder lets the image attend to a prompt's few tokens ([`Told`]), normalises it, and lets
//! the tokens attend to the image ([`Asked`]). With `T` tokens and `heads` heads there are only
//! `R = T · heads` rows of scores, fewer than the channels inside an attention. So the projections
//! of the image are not made; they are moved to the tokens' side, which is small:
//!
//! - a score `q · (W x + b)` is `(Wᵀ q) · x + q · b`;
//! - a weighted sum of `W x + b` is `W` times the weighted sum of `x`, plus `b`, for weights that
//!   sum to one;
//! - the output's projection is applied to the values.
//!
//! Letters are those of the crate's layers: `N` prompts, `T` tokens, `P` pixels, `E` channels.
//! The sums run in another order than those of [`cross_attention`](super::cross_attention), which
//! defines the result.

mod absorb;
mod cpu;
mod kernels;
mod tiles;
mod values;

pub use absorb::{Asked, Projected, Told};
pub use tiles::ImageTiles;
pub(crate) use values::heard;

use candle_core::{Result, Tensor, bail};

/// A layer norm's parameters: weight and bias `[E]`.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Factors.
    pub weight: &'a Tensor,
    /// What is added.
    pub bias: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
}

/// The image as an exchange finds it.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// `[1, E, P]`, the same for all prompts, or `[N, E, P]`.
    pub tokens: &'a ImageTiles,
    /// Their positions, `[1, E, P]`.
    pub positions: &'a ImageTiles,
    /// Their queries `[1, inner, P]`, where all prompts share them: what [`Told`] with keys as they
    /// are is met with. Elsewhere the queries are of tokens with their positions.
    pub queries: Option<&'a ImageTiles>,
}

/// One exchange.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// What the image attends to.
    pub told: &'a Told,
    /// What it goes through afterwards, its old tokens added.
    pub norm: Norm<'a>,
    /// What then attends to it: to the new tokens with their positions.
    pub asked: &'a Asked,
    /// Prompts that count, from the first; what comes back of the others is zeros.
    pub prompts: usize,
    /// Whether the image's new tokens are wanted.
    pub keep_image: bool,
}

/// What comes of it.
#[derive(Debug)]
pub struct Exchanged {
    /// The image's new tokens for each prompt that counts, if they were wanted.
    pub image: Option<ImageTiles>,
    /// For each prompt and row of scores the weighted sum of the image's new tokens,
    /// `[N, E, R]`.
    pub seen: Tensor,
}

impl Exchange<'_> {
    /// Goes once over the image. A prompt's bits depend neither on the other prompts nor on the
    /// number of threads.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn with(&self, image: Image<'_>) -> Result<Exchanged> {
        let (told, asked) = (self.told.sizes, self.asked.sizes);
        let [tokens, positions] = [image.tokens, image.positions];
        let queries = image.queries.map_or(tokens, |q| q);
        let by_head = image.queries.is_some();
        let fits = tokens.channels() == told.width
            && positions.channels() == told.width
            && queries.channels() == if by_head { told.inner } else { told.width }
            && by_head == self.told.by_head
            && (tokens.pixels(), queries.pixels()) == (positions.pixels(), positions.pixels())
            && (tokens.images() == 1 || tokens.images() == self.prompts)
            && positions.images() == 1
            && (queries.images() == 1 || !by_head)
            && (told.width, told.rows(), told.prompts)
                == (asked.width, asked.rows(), asked.prompts)
            && self.prompts <= told.prompts
            && positions.pixels() > 0;
        if !fits {
            bail!("exchange: an image of {tokens:?} and tokens of {told:?} and {asked:?}");
        }
        cpu::exchange(self, image)
    }
}

#[cfg(test)]
mod tests;
