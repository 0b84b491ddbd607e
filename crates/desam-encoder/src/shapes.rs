//! Inference of sizes and kinds from tensor shapes and names, and the check of an input side.

use crate::{Error, Result};
use desam_core::EncoderSpec;
use desam_nn::params::Tensors;

/// The dimensions of tensor `name`, which must have `N` of them, none zero.
pub(crate) fn dims<const N: usize>(tensors: &Tensors, name: &str) -> Result<[usize; N]> {
    let Some(tensor) = tensors.get(name) else {
        return Err(Error::shapes(name, "is missing"));
    };
    match <[usize; N]>::try_from(tensor.dims()) {
        // Configurations divide by these sizes.
        Ok(dims) if !dims.contains(&0) => Ok(dims),
        _ => {
            let problem = format!("has shape {:?}; expected {N} dimensions", tensor.dims());
            Err(Error::shapes(name, problem))
        }
    }
}

/// Number of blocks whose parameters' names start with `prefix` and a number: one more than the highest
/// number, so that a gap is reported as a missing parameter.
pub(crate) fn count_blocks(tensors: &Tensors, prefix: &str) -> usize {
    let number = |name: &String| {
        let rest = name.strip_prefix(prefix)?;
        rest.split('.').next()?.parse::<usize>().ok()
    };
    // A number beyond any real depth is a name from elsewhere, not a reason to count to it.
    let highest = tensors.keys().filter_map(number).filter(|n| *n < 4096).max();
    highest.map_or(0, |n| n + 1)
}

/// Checks that images of side `side` can be divided into patches of side `patch`.
pub(crate) fn check_input_side(side: usize, patch: usize) -> Result<()> {
    if side > EncoderSpec::LARGEST_SIDE {
        return Err(Error::Config(format!(
            "input side {side} is beyond all memory; at most {} pixels",
            EncoderSpec::LARGEST_SIDE
        )));
    }
    if side == 0 || !side.is_multiple_of(patch) {
        let nearest = side.div_ceil(patch.max(1)).max(1) * patch;
        return Err(Error::Config(format!(
            "input side {side} is not a multiple of the patch side {patch}; {nearest} would be"
        )));
    }
    Ok(())
}

/// Whether the image encoder is a TinyViT: by a parameter of its stem, which only it has.
pub(crate) fn is_tiny_vit(tensors: &Tensors) -> bool {
    tensors.contains_key("image_encoder.patch_embed.seq.0.c.weight")
}
