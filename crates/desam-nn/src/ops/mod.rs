//! Tensor ops with gradients, one folder each.
//!
//! Every op is differentiable wherever an input is tracked (`Tensor::track_op`), and takes a faster path
//! without a gradient where none is. What an op computes is defined by its `plain` path; the fast one is
//! tested against it in f64. Only [`two_way_attention`] has no gradient: it replaces a sequence of ops at
//! inference.
//!
//! Shared parts: `vector` (SIMD kernels of any width), `gemm_conv` (implicit GEMM, weight gradients, dense
//! GEMM over one register tile), `matmul` (a safe wrapper of `gemm`).

pub mod adam;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod cosine_similarity;
pub mod cross_attention;
pub mod depthwise_conv;
mod gemm_conv;
pub mod instance_norm;
pub mod layer_norm;
pub mod layout;
pub mod linear;
mod matmul;
pub mod pointwise;
pub mod pooled_gate;
pub mod rel_pos_attention;
pub mod rel_pos_bias_attention;
pub mod resize;
pub mod se_block;
pub mod softmax;
pub mod squeeze;
pub mod strided_conv;
pub mod two_way_attention;
mod vector;

#[cfg(test)]
pub(crate) mod gradcheck;
