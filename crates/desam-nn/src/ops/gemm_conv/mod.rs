//! The matrix product behind convolutions: weights times every pixel's window, without ever
//! unfolding the image.
//!
//! A band of rows is copied with its margins (that copy is where a norm or a rearrangement happens,
//! see [`Source`]); a tile's vectors are then runs of that copy, shifted by each weight's place.

mod conv_kernel;
mod dense;
mod implicit_gemm;
mod microkernel;
mod operands;
mod panels;
mod source;
mod store;
mod weight_gradient;
mod weight_gradient_1x1;

pub(crate) use conv_kernel::Kernel;
pub(crate) use dense::{Curve, Dense, Finish};
pub(crate) use implicit_gemm::{Sums, product, product_add, product_into};
pub(crate) use microkernel::{ROWS, VECTORS, multiply_all};
pub(crate) use operands::{Left, Right, Spot, Target};
pub(crate) use panels::Panels;
pub(crate) use source::{At, Joined, Plain, Planes, Source, Window};
pub(crate) use weight_gradient::correlate;

#[cfg(test)]
mod tests;
