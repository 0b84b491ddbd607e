//! Segmentation metrics, computed on the host: Dice, Jaccard, precision, recall; Hausdorff distance and
//! HD95, average surface distance, surface Dice; volume error.
//!
//! Overlap needs four counts a case, so slices can be added one at a time in any order:
//! [`OverlapMetric`]. Distances need both whole surfaces: [`CaseMeasures`] takes a case at once and
//! computes any set of metrics, including overlap and volume. An [`EmptyPolicy`] defines the scores of
//! cases with an empty mask, which each [`Score`] reports; [`Summary`] aggregates cases and accounts
//! for all of them.

mod case;
mod confusion;
mod empty;
mod measure;
mod overlap;
mod pair;
mod summary;
mod surface;

pub use case::CaseMetric;
pub use confusion::Confusion;
pub use empty::{Empty, EmptyPolicy, OneEmpty, Score};
pub use measure::CaseMeasures;
pub use overlap::{BothEmpty, Overlap, OverlapMetric};
pub use pair::{MaskPair, VoxelGrid};
pub use summary::Summary;
