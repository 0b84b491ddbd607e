//! Losses and segmentation metrics of DeSAM.
//!
//! [`metric`] counts voxels and measures surface distances on the host; [`statistics`] has bootstrap
//! confidence intervals and paired tests over many cases. `loss` has the differentiable losses on
//! tensors; it needs the feature `tensor`, on by default. Letters in shapes are those of
//! [`desam_core`].
//!
//! ```
//! use desam_metrics::metric::OverlapMetric;
//! use desam_metrics::statistics::{BootstrapConfig, MeanOver};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut dice = OverlapMetric::dice();
//! dice.update(&[1, 1, 0, 0], &[1, 0, 0, 0])?;
//! assert_eq!(dice.compute(), Some(2.0 / 3.0));
//!
//! // A 95 % confidence interval of the mean over cases, by the bootstrap.
//! let scores = [0.91, 0.88, 0.93, 0.79, 0.90];
//! let interval = BootstrapConfig::default().interval(&[&scores], MeanOver::Cases)?;
//! let interval = interval.expect("five cases have an interval");
//! assert!(interval.holds(0.88) && !interval.holds(0.75));
//! # Ok(())
//! # }
//! ```

mod error;
#[cfg(feature = "tensor")]
pub mod loss;
pub mod metric;
pub mod statistics;

pub use error::{Error, Result};
