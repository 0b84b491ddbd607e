//! What a study may conclude from its cases: intervals around means, tests between two runs.
//!
//! Cases of one site are drawn from it; sites are not drawn, there are too few of them. An interval
//! therefore speaks of other cases of the same sites, and a mean of sites has its cases drawn
//! within each ([`BootstrapConfig::interval`]). Two runs are compared case by case:
//! [`wilcoxon`], [`SignFlip`], and an interval around the mean difference; [`holm`] corrects for
//! several comparisons. All of it on the host, one thread, every draw from a seed: the same bits
//! anywhere.

mod bootstrap;
mod groups;
mod holm;
mod normal;
mod sign_flip;
mod wilcoxon;

pub use bootstrap::{BootstrapConfig, FEW_CASES, Interval, IntervalMethod};
pub use groups::MeanOver;
pub use holm::holm;
pub use sign_flip::{FlipTest, SignFlip};
pub use wilcoxon::{WilcoxonTest, wilcoxon};
