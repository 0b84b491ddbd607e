//! SAMs that are fine-tuned through adapters and segment without prompts: DAPSAM, and LoRA as in SAMed.
//!
//! Unlike DeSAM, whose image encoder is frozen and whose features are computed once, such a model trains
//! parameters inside the encoder. [`AdaptedSam`] joins the three parts: an image encoder with adapters,
//! a dense prompt that no user gives, and SAM's mask decoder with one mask a class. It loads the official
//! programs' checkpoints, and starts from a SAM. [`AdaptedNetwork`] puts it, or DeSAM's decoder over the
//! same encoder, behind the traits that training, evaluation and prediction work with.
//!
//! ```
//! use desam::adapted::{AdaptedOptions, AdaptedSam};
//! use desam::candle::{DType, Device, Tensor};
//! use desam::encoder::{FrozenSam, VitConfig};
//! use desam::metrics::loss::sigmoid_ce_dice;
//! use desam::nn::gradients::backward;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let vit = VitConfig { input_side: 64, depth: 2, global_blocks: vec![1], ..VitConfig::tiny() };
//! # let mut sam = FrozenSam::random(&vit, 3)?.tensors;
//! # let sizes = desam::decoder::ClassDecoderConfig::sam(64, 4);
//! # let seeded = desam::nn::params::LoadOptions::seeded(3);
//! # sam.extend(desam::nn::params::load(Default::default(), &seeded, |vb| sizes.build(vb))?.tensors);
//! // The tensors of a SAM, `Checkpoint::open(path)?.tensors`: DAPSAM's initial model for one class.
//! let options = AdaptedOptions::default().with_input_side(64).trainable(true);
//! let start = AdaptedSam::dapsam_from_sam(&sam, 1, 7, &options)?;
//!
//! let pixels = Tensor::full(0.1f32, (1, 3, 64, 64), &Device::Cpu)?;
//! let masks = Tensor::zeros((1, 1, 64, 64), DType::F32, &Device::Cpu)?;
//! let loss = sigmoid_ce_dice(&start.model.logits(&pixels)?, &masks)?;
//! let grads = backward(&loss.total)?;
//! // Variables are the adapters, the prompt generator and the decoder; SAM's encoder is frozen.
//! assert!(grads.get(&start.vars["prompt_generator.memory_bank.weight"]).is_some());
//! assert!(!start.vars.contains_key("image_encoder.pos_embed"));
//! # Ok(())
//! # }
//! ```

mod build;
mod choice;
mod class_logits;
mod load;
mod network;
mod options;
mod parts;
mod pixels;
mod start;
#[cfg(test)]
mod tests;

pub use choice::{AdapterChoice, AdapterRecord};
pub use class_logits::class_logits;
pub use load::LoadedAdaptedSam;
pub use network::AdaptedNetwork;
pub use options::AdaptedOptions;
pub use pixels::PixelEncoder;
pub use start::LoraStart;

pub(crate) use build::{LoadedNetwork, NetworkOptions, NetworkStart};

use candle_core::{Result, Tensor};
use desam_core::{ImageEncoder, Prompt, PromptEncoder, Prompts};
use desam_decoder::{ClassDecoder, ClassMasks, GeneratedPrompt, PromptGenerator};
use desam_encoder::SamPromptEncoder;
use desam_encoder::adapter::{AdaptedEncoder, ForwardHook};
use desam_nn::ops::resize::bilinear;

/// A SAM with adapters in its image encoder, which segments classes without a user's prompts.
#[derive(Debug, Clone)]
pub struct AdaptedSam {
    encoder: AdaptedEncoder,
    prompt: DensePrompt,
    decoder: ClassDecoder,
    /// Positional encoding of the feature grid, `[1, E, G, G]`.
    position: Tensor,
}

/// The source of the dense prompt.
#[derive(Debug, Clone)]
enum DensePrompt {
    /// DAPSAM's: generated from the image.
    Generated(PromptGenerator),
    /// SAMed's: the prompt encoder's learned embedding of "no mask", the same for every image.
    Constant(SamPromptEncoder),
}

/// Output of an [`AdaptedSam`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdaptedOutput {
    /// The encoder's embedding, `[B, E, G, G]`.
    pub embedding: Tensor,
    /// The generated prompt; `None` with LoRA.
    pub prompt: Option<GeneratedPrompt>,
    /// Masks at the decoder's resolution, `[B, K, 4 G, 4 G]`.
    pub masks: ClassMasks,
}

impl AdaptedSam {
    /// The image encoder.
    pub fn encoder(&self) -> &AdaptedEncoder {
        &self.encoder
    }

    /// The mask decoder.
    pub fn decoder(&self) -> &ClassDecoder {
        &self.decoder
    }

    /// Whether its dense prompt is generated from the image, as DAPSAM's, and not constant.
    pub fn generates_prompt(&self) -> bool {
        matches!(self.prompt, DensePrompt::Generated(_))
    }

    /// Positional encoding of the feature grid, `[1, E, G, G]`.
    pub fn position(&self) -> &Tensor {
        &self.position
    }

    /// Segments pixels `[B, 3, S, S]`, with gradients where the parameters are trainable. DAPSAM and
    /// SAMed do not use SAM's normalisation: DAPSAM takes z-scored slices, SAMed intensities of 0 to 1.
    ///
    /// # Errors
    /// When the shape is another or a tensor operation fails.
    pub fn forward(&self, pixels: &Tensor) -> Result<AdaptedOutput> {
        self.decode(self.encoder.encode(pixels)?.embedding)
    }

    /// [`forward`](Self::forward) with a hook on the encoder's intermediate results
    /// ([`AdaptedEncoder::encode_hooked`]).
    ///
    /// # Errors
    /// As [`forward`](Self::forward), or when the hook fails.
    pub fn forward_hooked(&self, pixels: &Tensor, hook: ForwardHook<'_>) -> Result<AdaptedOutput> {
        self.decode(self.encoder.encode_hooked(pixels, hook)?.embedding)
    }

    /// Logits at the input's resolution, `[B, K, S, S]`: those of [`forward`](Self::forward), enlarged
    /// bilinearly.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn logits(&self, pixels: &Tensor) -> Result<Tensor> {
        self.enlarge(&self.forward(pixels)?.masks.logits)
    }

    /// Enlarges low-resolution logits to the input's side.
    ///
    /// # Errors
    /// When they are no maps.
    pub fn enlarge(&self, logits: &Tensor) -> Result<Tensor> {
        let side = self.encoder.spec().input_side;
        bilinear(logits, (side, side))
    }

    fn decode(&self, embedding: Tensor) -> Result<AdaptedOutput> {
        let (prompt, dense) = match &self.prompt {
            DensePrompt::Generated(generator) => {
                let prompt = generator.forward(&embedding)?;
                let dense = prompt.dense.clone();
                (Some(prompt), dense)
            }
            DensePrompt::Constant(encoder) => {
                let none = vec![Prompt::default(); embedding.dim(0)?];
                let prompts = Prompts::new(none).map_err(candle_core::Error::wrap)?;
                (None, encoder.encode(&prompts)?.dense.contiguous()?)
            }
        };
        let masks = self.decoder.forward(&embedding, &dense, &self.position)?;
        Ok(AdaptedOutput { embedding, prompt, masks })
    }
}
