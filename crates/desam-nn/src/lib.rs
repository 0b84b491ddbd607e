//! Tensor ops and layers on candle that both halves of DeSAM are built from.
//!
//! - [`ops`]: one folder an op, each with a plain reference path, a fast CPU path where there is one, and
//!   a gradient that is checked against finite differences.
//! - [`layers`]: parameters with an op, built from a `VarBuilder` under the official program's names.
//! - [`params`]: loading parameters from a checkpoint, or initialising them from a seed, with one report
//!   of everything that was missing, unexpected or misshapen.
//! - [`gradients`]: the backward pass, with leaf gradients that bypass candle's accumulator.
//! - [`gpu`]: selects the backend that an op runs on; the kernels for GPUs are in `desam-kernels`.
//!
//! Shapes are given in the letters of `desam_core`.
//!
//! # Example
//! A convolution and its gradient:
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use desam_nn::gradients::backward;
//! use desam_nn::ops::conv2d::{Conv2dConfig, conv2d};
//!
//! # fn main() -> candle_core::Result<()> {
//! let x = Tensor::ones((1, 1, 4, 4), DType::F32, &Device::Cpu)?;
//! let weight = Var::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?;
//! let y = conv2d(&x, &weight, Conv2dConfig::same(3))?;
//! // Zero padding: a corner sees 4 pixels, the middle 9.
//! let rows = y.squeeze(0)?.squeeze(0)?.to_vec2::<f32>()?;
//! assert_eq!(rows[0], [4.0, 6.0, 6.0, 4.0]);
//! assert_eq!(rows[1], [6.0, 9.0, 9.0, 6.0]);
//!
//! let gradients = backward(&y.sum_all()?)?;
//! let dweight = gradients.get(&weight).expect("the weight is a variable");
//! // The centre tap sees all 16 pixels, a corner tap 9.
//! let taps = dweight.flatten_all()?.to_vec1::<f32>()?;
//! assert_eq!(taps, [9.0, 12.0, 9.0, 12.0, 16.0, 12.0, 9.0, 12.0, 9.0]);
//! # Ok(())
//! # }
//! ```

mod error;
pub mod gpu;
pub mod gradients;
pub mod layers;
pub mod ops;
pub mod params;

pub use error::{Error, Result, ShapeMismatch};
