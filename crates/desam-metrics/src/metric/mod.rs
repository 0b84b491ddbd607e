//! What an evaluation reports, computed on the host.
//!
//! Overlap needs four counts a case, so slices can be fed one at a time in any order:
//! [`OverlapMetric`]. Distances need both surfaces whole: [`CaseMeasures`] takes a case at once and
//! gives any set of metrics, overlap and volume included. What a case with an empty mask counts as
//! is an [`EmptyPolicy`]'s to say, and its [`Score`] says that it was one; [`Summary`] takes cases
//! together and loses none.

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
