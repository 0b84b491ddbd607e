//! Tensor ops and layers that both halves of DeSAM are built from.
//!
//! - [`ops`]: one folder an op, each with a plain reference path, a fast CPU path where there is
//!   one, and a gradient that is checked against finite differences.
//! - [`layers`]: parameters with an op; built from a `VarBuilder` under their official names.
//! - [`params`]: loading parameters from a checkpoint, or drawing them from a seed, with one report
//!   of everything that was missing, unexpected or misshapen.
//! - [`gradients`]: gradients of an objective, those of variables without candle's detour.
//! - [`gpu`]: selects the backend that an op runs on; the kernels for GPUs are in `desam-kernels`.
//!
//! Shapes are given in the letters of `desam_core`.

mod error;
pub mod gpu;
pub mod gradients;
pub mod layers;
pub mod ops;
pub mod params;

pub use error::{Error, Result, ShapeMismatch};
