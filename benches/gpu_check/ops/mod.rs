//! Every op of `desam_nn` on sizes of ViT-B, ViT-H and PIMM, and on odd ones.
//!
//! Odd sizes are held to the definition in f64, the models' sizes to the CPU's own path.

mod convolutions;
mod encoder;
mod heads;
mod simple;

use crate::case::Case;

/// All cases, or only the small ones.
pub(crate) fn all(quick: bool) -> Vec<Case> {
    let mut all = simple::cases(quick);
    all.extend(encoder::cases(quick));
    all.extend(convolutions::cases(quick));
    all.extend(heads::cases(quick));
    all
}
