//! GEMM-based kernels for convolutions and affine maps: implicit GEMM, weight gradients, dense GEMM.
//!
//! - [`implicit_gemm()`]: a convolution as a matrix product without im2col. A strip of image rows is
//!   copied with its margins (that copy is where a norm, a rearrangement or a concatenation happens,
//!   see [`ImageSource`]); the right-hand vectors of a tile are then runs of that copy, shifted by the
//!   offset of each kernel tap, so the unfolded matrix never exists.
//! - [`weight_gradient()`]: the gradient of a convolution's kernel, the same register tile with the
//!   sum over pixels.
//! - [`DenseGemm`]: an affine map with a fused epilogue (bias, activation, residual).
//!
//! All of them, and attention, share one microkernel ([`microkernel`]) over packed panels
//! ([`PackedLhs`]). Work is split by tensor sizes alone, never by the number of threads, and partial
//! sums are added in a fixed order, so results have the same bits on any number of threads.

mod conv_kernel;
mod dense;
mod implicit_gemm;
mod microkernel;
mod operands;
mod panels;
mod partial_sums;
mod source;
mod store;
mod strip;
mod weight_gradient;
mod weight_gradient_1x1;

pub(crate) use conv_kernel::ConvKernel;
pub(crate) use dense::{DenseGemm, TileEpilogue};
pub(crate) use implicit_gemm::{StripSums, implicit_gemm, implicit_gemm_add, implicit_gemm_with};
pub(crate) use microkernel::multiply;
pub(crate) use operands::{Lhs, OutputVector, ROWS, Rhs, StridedOutput, VECTORS};
pub(crate) use panels::PackedLhs;
pub(crate) use source::{ConcatChannels, ImageDims, ImageSource, NchwView, RowIndex, Window};
pub(crate) use weight_gradient::weight_gradient;

#[cfg(test)]
mod tests;
