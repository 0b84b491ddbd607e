//! The losses of the paper: Eq. 1 (grid points mode), Eq. 2 (whole box mode), and what the official
//! program trains with; those of the fine-tuned SAMs DAPSAM and SAMed.
//!
//! Everything is built from elementary operations that have a gradient, arranged so that no
//! logit, however large, makes one of them overflow. Half-precision inputs are compared in f32.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use desam_core::{Loss, LossTarget, MaskPrediction};
//! use desam_metrics::loss::LossConfig;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let loss = LossConfig::paper_box().build()?;
//! let logits = Tensor::new(&[[[[4f32, -4.], [-4., -4.]]]], &Device::Cpu)?;
//! let mask = Tensor::new(&[[[[1f32, 0.], [0., 0.]]]], &Device::Cpu)?;
//! let iou = Tensor::zeros((1, 1), DType::F32, &Device::Cpu)?;
//! let value = loss.forward(&MaskPrediction::new(logits, iou), &LossTarget { mask, iou: None })?;
//! assert!(value.total.to_scalar::<f32>()? < 0.05);
//! # Ok(())
//! # }
//! ```

mod bce;
mod ce_dice;
mod config;
mod consistency;
mod desam;
mod dice;
mod iou;
mod logits;
mod supervision;

pub use bce::bce_with_logits;
pub use ce_dice::{CeDice, sigmoid_ce_dice, softmax_ce_dice};
pub use config::{DiceReduction, IouLoss, IouLossKind, IouTarget, LossConfig, MaskSlices};
pub use consistency::view_consistency;
pub use desam::DesamLoss;
pub use dice::{batch_soft_dice, soft_dice};
pub use iou::{l1, mask_iou, mse};
pub use supervision::{coarser_target, supervision_weights};
