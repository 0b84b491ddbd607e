//! Statistics of a study: bootstrap confidence intervals of means, paired tests between two runs.
//!
//! Cases are resampled within each site; sites are not resampled, there are too few of them. A
//! confidence interval therefore generalises to other cases of the same sites, and that of a mean over
//! sites is stratified ([`BootstrapConfig::interval`]). Two runs are compared case by case:
//! [`wilcoxon`], [`SignFlip`], and an interval around the mean difference; [`holm`] corrects for
//! multiple comparisons. Everything runs on one thread with seeded random numbers: the same bits on
//! every machine.

mod bootstrap;
mod groups;
mod holm;
mod normal;
mod sign_flip;
mod spearman;
mod wilcoxon;

pub use bootstrap::{BootstrapConfig, FEW_CASES, Interval, IntervalMethod};
pub use groups::MeanOver;
pub use holm::holm;
pub use sign_flip::{FlipTest, SignFlip};
pub use spearman::spearman;
pub use wilcoxon::{WilcoxonTest, wilcoxon};
