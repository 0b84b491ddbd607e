//! Adapters: parameter-efficient fine-tuning (PEFT) of the frozen image encoder.
//!
//! Few parameters are trained inside the blocks of a vision transformer whose own stay frozen. A
//! [`BlockAdapter`] adds to what a block computes; an [`AdaptedEncoder`] is a
//! [`VitEncoder`](crate::VitEncoder) with one. Two are built in, under the official programs' parameter
//! names, so that their checkpoints load:
//!
//! - [`DapsamAdapter`]: DAPSAM's two bottlenecks a block over the low-level features of the patch
//!   embedding (Wei et al., MICCAI 2024), as the official program computes them or as the paper
//!   describes them ([`DapsamAxes`]);
//! - [`LoraAdapter`]: low-rank updates of queries and values (LoRA, as in SAMed), which can be merged
//!   into the weights for inference.
//!
//! Frozen parameters are plain tensors and adapters' are variables, so a backward pass computes weight
//! gradients of the adapters alone. It flows to the first block: no feature can be cached.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use desam_core::ImageEncoder;
//! use desam_encoder::adapter::{AdaptedEncoder, LoraConfig};
//! use desam_encoder::{FrozenSam, SamOptions, VitConfig, builtin};
//! use desam_nn::params::{LoadOptions, Tensors, load};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sam = FrozenSam::load(&builtin::tiny()?, &SamOptions::default())?.sam;
//! // Rank 4; A is drawn from the seed and B is zero, so training starts as SAM.
//! let vit = sam.image.into_vit().expect("the built-in SAM has a ViT");
//! let config = LoraConfig::for_vit(vit.config(), 4);
//! let lora = load(Tensors::new(), &LoadOptions::trainable(7), |vb| config.build(vb))?;
//! assert_eq!(lora.vars.len(), 2 * 2 * 8); // A and B, of queries and values, in 8 blocks
//!
//! let pixels = Tensor::full(0.5f32, (1, 3, 256, 256), &Device::Cpu)?;
//! let plain = vit.encode(&pixels)?.embedding;
//! let adapted = AdaptedEncoder::new(vit, lora.module).encode(&pixels)?.embedding;
//! let difference = (plain - &adapted)?.abs()?.max_all()?.to_scalar::<f32>()?;
//! assert!(difference < 1e-4);
//!
//! // A backward pass reaches every B; while B is zero, A has a gradient of zero.
//! let grads = adapted.sqr()?.sum_all()?.backward()?;
//! assert!(grads.get(&lora.vars["w_b_000"]).is_some());
//! # Ok(())
//! # }
//! ```

mod bottleneck;
mod dapsam;
mod encoder;
mod lora;

pub use crate::vit::{BlockAdapter, BlockInput, ForwardHook};
pub use dapsam::{DapsamAdapter, DapsamAxes, DapsamConfig};
pub use encoder::AdaptedEncoder;
pub use lora::{LoraAdapter, LoraConfig};

use desam_core::named;

named! {
    /// Kind of adapter in the image encoder.
    pub enum AdapterKind: "adapter" {
        /// DAPSAM's as the official program computes it; its released weights need it.
        Dapsam = "dapsam",
        /// DAPSAM's as the paper describes it.
        DapsamIntended = "dapsam-intended",
        /// Low-rank updates of queries and values.
        Lora = "lora",
    }
}

#[cfg(test)]
mod tests;
