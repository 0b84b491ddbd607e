//! What a stage may be off by, in f32 and in bf16.
//!
//! In f32 the limits are those of sums in another order, on a GPU as on a CPU.
//!
//! In bf16 numbers are rounded to 8 bits wherever a product takes or gives them: by at most 2⁻⁹ of
//! themselves, to either side. For the encoder that is counted: a product rounds three times, its two
//! inputs and its output, and roundings are as good as independent, so `n` products in a row are off by
//! √(3 n) · 2⁻⁹ where each is at its worst. The decoder's norms over planes make more of a difference than
//! that, the more the less it is trained. There PyTorch's own bf16 (autocast, products on a CPU with f32
//! sums) is the measure: what it is off by on the reference model, from f64, times about 2.5.

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
    /// What a trained decoder says.
    pub(super) decoder: f64,
    /// The same from features that went through f16.
    pub(super) half: f64,
    /// What an untrained one says.
    pub(super) untrained: f64,
    /// A loss of that.
    pub(super) loss: f64,
    /// The gradients of PRIM and of PIMM, each as one vector. In f32 each tensor has a limit of its own.
    pub(super) gradients: Option<[f64; 2]>,
}

impl Limits {
    pub(super) fn of(model: &Official, precision: Precision) -> Self {
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
                // A block: q, k and v; scores; their sum of values; the output; two of the perceptron.
                // Patches before them, two convolutions behind.
                encoder: (3.0 * (6 * model.depth() + 3) as f64).sqrt() * ROUNDING,
                prompts: FORWARD,
                // PyTorch: 0.007 in three IoU, 0.004 in all of them, 0.003 in the mask.
                decoder: 0.02,
                half: 0.02,
                // 0.019 in the mask, 0.006 in the IoU.
                untrained: 0.048,
                // Mostly the IoU's square error, hence twice the IoU's.
                loss: 0.03,
                // 0.010 and 0.039.
                gradients: Some([0.025, 0.1]),
            },
        }
    }
}
