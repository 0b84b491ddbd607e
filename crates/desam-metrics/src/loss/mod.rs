//! What training minimises: the paper's Eq. 1 (grid points mode) and Eq. 2 (whole box mode), and
//! what the official program trains with.
//!
//! Everything is built from elementary operations that have a gradient, arranged so that no
//! logit, however large, makes one of them overflow. Half-precision inputs are compared in f32.

mod bce;
mod config;
mod desam;
mod dice;
mod iou;
mod logits;
mod supervision;

pub use bce::bce_with_logits;
pub use config::{IouLoss, IouLossKind, IouTarget, LossConfig};
pub use desam::DesamLoss;
pub use dice::soft_dice;
pub use iou::{drawn_iou, l1, mse};
pub use supervision::{coarser_target, supervision_weights};
