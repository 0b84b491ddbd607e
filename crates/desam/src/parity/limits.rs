//! What a stage may be off by, in f32 and in bf16.
//!
//! In f32 the limits are those of sums in another order, on a GPU as on a CPU. In bf16 numbers are
//! rounded to 8 bits wherever a product takes or gives them: by at most 2⁻⁹ of themselves, to either
//! side. A product rounds three times, its two inputs and its output, and roundings are as good as
//! independent; after `n` products in a row that is √(3 n) · 2⁻⁹ where each is at its worst, and about
//! half of it where they are evenly spread. The limit is the former, `n` being counted off the model.

use super::model::Official;
use desam_core::Precision;

/// Both programs sum thousands of f32 products in different orders.
const FORWARD: f64 = 2e-5;

/// Features that a cache holds in f16 have eleven significant bits, 5e-4 at worst; the decoder adds
/// little to that.
const HALF: f64 = 2e-3;

/// Relative error of a loss of given numbers or of one of its terms, which is f32 everywhere.
pub(super) const LOSS: f64 = 1e-5;

/// Largest relative error of a number that is rounded to bf16.
const ROUNDING: f64 = 1.0 / 512.0;

/// What stages may be off by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) precision: Precision,
    /// Taps and embedding.
    pub(super) encoder: f64,
    /// The prompt encoder, which is f32 in either case.
    pub(super) prompts: f64,
    /// What PRIM and PIMM say.
    pub(super) decoder: f64,
    /// The same from features that went through f16.
    pub(super) half: f64,
    /// A loss of what the model says.
    pub(super) model_loss: f64,
    /// All gradients as one vector; in f32 each has a limit of its own.
    pub(super) gradients: Option<f64>,
}

impl Limits {
    pub(super) fn of(model: &Official, precision: Precision) -> Self {
        let own = Self {
            precision,
            encoder: FORWARD,
            prompts: FORWARD,
            decoder: FORWARD,
            half: HALF,
            model_loss: LOSS,
            gradients: None,
        };
        if precision.is_f32() {
            return own;
        }
        let chain = |products: usize| (3.0 * products as f64).sqrt() * ROUNDING;
        let decoder = model.decoder.module.config();
        // A block: q, k and v; scores; their sum of values; the output; two of the perceptron. Patches
        // before, two convolutions behind.
        let encoder = chain(6 * model.depth() + 3);
        // A block: five attentions' worth of projections, scores and sums, and a perceptron; then the
        // last look. Each level of PIMM: two convolutions for its context, at most as many as levels of
        // them, an enlargement, two more; the head.
        let levels = decoder.tap_channels.len();
        let prim = 14 * decoder.transformer_depth + 4;
        let pimm = 5 * levels + 3;
        let all = chain(prim + pimm);
        Self {
            encoder,
            decoder: all,
            half: all,
            // A mean over thousands of pixels: their errors to either side cancel.
            model_loss: all,
            // The same way twice, there and back.
            gradients: Some(chain(2 * (prim + pimm))),
            ..own
        }
    }
}
