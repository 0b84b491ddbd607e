//! Inference of sizes from tensor shapes.

use crate::{Error, Result};
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
