//! Losses and segmentation metrics of DeSAM.
//!
//! [`loss`] is differentiable and lives on tensors; [`metric`] counts voxels and measures surfaces
//! on the host; [`statistics`] says what may be concluded from many cases. Letters in shapes are
//! those of [`desam_core`].
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use desam_core::{Loss, LossTarget, MaskPrediction, Metric};
//! use desam_metrics::{loss::LossConfig, metric::OverlapMetric};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let loss = LossConfig::paper_box().build()?;
//! let logits = Tensor::new(&[[[[4f32, -4.], [-4., -4.]]]], &Device::Cpu)?;
//! let mask = Tensor::new(&[[[[1f32, 0.], [0., 0.]]]], &Device::Cpu)?;
//! let iou = Tensor::zeros((1, 1), candle_core::DType::F32, &Device::Cpu)?;
//! let value = loss.forward(&MaskPrediction::new(logits, iou), &LossTarget { mask, iou: None })?;
//! assert!(value.total.to_scalar::<f32>()? < 0.05);
//!
//! let mut dice = OverlapMetric::dice();
//! dice.update(&[1, 1, 0, 0], &[1, 0, 0, 0])?;
//! assert_eq!(dice.compute(), Some(2.0 / 3.0));
//! # Ok(())
//! # }
//! ```

mod error;
pub mod loss;
pub mod metric;
pub mod statistics;

pub use error::{Error, Result};
