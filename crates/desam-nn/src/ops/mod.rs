//! Tensor operations, one folder each.
//!
//! Every op is differentiable wherever an input is tracked (`Tensor::track_op`) and takes a faster
//! path without a gradient where none is. What an op computes is defined by its plain path; the
//! fast one is tested against it. [`exchange`] alone knows no gradients: it stands for a sequence of
//! ops where nothing is to be trained.

pub mod adam;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod cross_attention;
pub mod exchange;
pub mod instance_norm;
pub mod layer_norm;
pub mod layout;
pub mod linear;
mod matmul;
pub mod pointwise;
mod product;
pub mod rel_pos_attention;
pub mod resize;
pub mod se_block;
pub mod softmax;
pub mod squeeze;
mod vector;

#[cfg(test)]
pub(crate) mod gradcheck;
