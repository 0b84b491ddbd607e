//! Prompts of DeSAM's two automatic modes: samplers for training, the point grid and the whole-image box
//! for prediction.
//!
//! ```
//! use desam_core::{BinaryMask, PromptSampler};
//! use desam_prompt::{PointSampler, grid_points, whole_box};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Training: one random point of a slice's ground truth, in pixels of a 1024-pixel input.
//! let truth = BinaryMask::new(2, 2, vec![0, 1, 0, 0])?;
//! let mut rng = ChaCha8Rng::seed_from_u64(7);
//! let drawn = PointSampler::paper().sample(&truth.into(), 1024, &mut rng)?;
//! assert!(matches!(drawn.iou_targets[..], [0.0 | 1.0]));
//!
//! // Prediction: a 9×9 grid, or one box around everything.
//! assert_eq!(grid_points(9, 1024.0)?.len(), 81);
//! assert_eq!(whole_box(1024.0)?.x1, 1024.0);
//! # Ok(())
//! # }
//! ```

mod error;
mod grid;
pub mod sample;
mod whole_box;

pub use error::{Error, Result};
pub use grid::{MAX_GRID_SIDE, grid_points};
pub use sample::{BoxSampler, PointSampler};
pub use whole_box::whole_box;
