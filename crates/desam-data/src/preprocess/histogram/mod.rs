//! Histogram matching: intensities of a new volume mapped to those of the training volumes.
//!
//! A model sees the scanner of its training site. Matching the cumulative distribution functions
//! (CDF) of the levels 0 to 255 gives a volume of another scanner that look. It is a monotone table, so
//! that it changes contrast and keeps edges.
//!
//! [`NyulScale`] and [`SourceDistribution`] are two other published rules, on whole volumes. No command uses
//! them.

mod cdf;
mod intensity_histogram;
mod matching_table;
mod nyul;
mod source_matching;
#[cfg(test)]
mod volume_tests;

pub use cdf::match_cdf;
pub use intensity_histogram::{IntensityHistogram, LEVELS};
pub use matching_table::MatchingTable;
pub use nyul::{NyulConfig, NyulScale};
pub use source_matching::{SourceDistribution, clip_ct, scale_mr};
