//! Launch code of the ops, one folder each, next to their kernels.

pub mod adam;
mod column_sums;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod cross_attention;
pub mod instance_norm;
pub mod layer_norm;
pub mod layout;
pub mod linear;
pub mod pointwise;
pub mod rel_pos_attention;
pub mod resize;
pub mod se_block;
pub mod softmax;
pub mod squeeze;
