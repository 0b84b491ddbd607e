//! Error limits of the stages, in f32 and in bf16.
//!
//! In f32 the limits allow for sums in another order, on a GPU as on a CPU.
//!
//! In bf16 the inputs and outputs of matrix products are rounded to 8 significant bits: a relative error of
//! at most 2⁻⁹. For the encoder the limit is derived from that: a product rounds three times (two inputs,
//! one output), and roundings are practically independent, so `n` products in a row have a relative error of
//! √(3 n) · 2⁻⁹ if each is at its worst. The decoder's norms over planes amplify errors beyond that, the more
//! the less it is trained. There the reference is PyTorch's own bf16 (autocast, products on a CPU with f32
//! sums): its error against f64 on the reference model, times about 2.5.

use super::official_model::OfficialModel;
use desam_core::Precision;

/// Both programs sum thousands of f32 products in different orders.
pub(super) const FORWARD: f64 = 2e-5;

/// Features stored in f16 have eleven significant bits, a relative error of 5e-4 at worst; the decoder adds
/// little to that.
const HALF: f64 = 2e-3;

/// Relative error of a loss or one of its terms for given inputs; losses are f32 everywhere.
pub(super) const LOSS: f64 = 1e-5;

/// Largest relative error of rounding to bf16.
const ROUNDING: f64 = 1.0 / 512.0;

/// Error limits of the stages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) precision: Precision,
    /// Taps and embedding.
    pub(super) encoder: f64,
    /// The prompt encoder, which is f32 in both precisions.
    pub(super) prompts: f64,
    /// Outputs of the trained decoder.
    pub(super) decoder: f64,
    /// The same for features rounded to f16.
    pub(super) half: f64,
    /// Outputs of the untrained decoder.
    pub(super) untrained: f64,
    /// The loss of the untrained decoder.
    pub(super) loss: f64,
    /// The gradients of PRIM and of PIMM, each as one vector. In f32 each tensor has a separate limit.
    pub(super) gradients: Option<[f64; 2]>,
}

impl Limits {
    pub(super) fn of(model: &OfficialModel, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self {
                precision,
                encoder: FORWARD,
                prompts: FORWARD,
                decoder: FORWARD,
                half: HALF,
                untrained: FORWARD,
                loss: LOSS,
                gradients: None,
            },
            Precision::Bf16 => Self {
                precision,
                // Six products per block: q, k and v; scores; weighted values; output; two of the MLP. Patch
                // embedding before the blocks, two convolutions after them.
                encoder: (3.0 * (6 * model.depth() + 3) as f64).sqrt() * ROUNDING,
                prompts: FORWARD,
                // PyTorch: 0.007 in three IoU, 0.004 in all of them, 0.003 in the mask.
                decoder: 0.02,
                half: 0.02,
                // 0.019 in the mask, 0.006 in the IoU.
                untrained: 0.048,
                // Dominated by the IoU's squared error, hence twice the IoU's.
                loss: 0.03,
                // 0.010 and 0.039.
                gradients: Some([0.025, 0.1]),
            },
        }
    }
}
