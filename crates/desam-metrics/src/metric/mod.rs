//! What an evaluation reports, computed on the host.
//!
//! Overlap needs four counts a case, so slices can be fed one at a time in any order. A metric
//! that needs the whole surface at once implements [`desam_core::Metric`] in a file of its own.

mod confusion;
mod overlap;

pub use confusion::Confusion;
pub use overlap::{BothEmpty, Overlap, OverlapMetric};
