//! DAPSAM's prompt generator: a dense prompt from the image's prototype and a learned memory.

use crate::{Error, Result};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use desam_nn::layers::{Conv2d, Conv2dLayerConfig, FourierPosition, fan_in_uniform};
use desam_nn::ops::conv2d::Conv2dConfig;
use desam_nn::ops::cosine_similarity::cosine_similarity;
use desam_nn::ops::softmax::softmax;
use desam_nn::params::Tensors;

/// Sizes of a [`PromptGenerator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptGeneratorConfig {
    /// Channels `E` of the embedding, even.
    pub embedding_channels: usize,
    /// Slots of the memory bank; 256 in the official program.
    pub slots: usize,
}

impl PromptGeneratorConfig {
    /// The official program's 256 slots.
    pub fn official(embedding_channels: usize) -> Self {
        Self { embedding_channels, slots: 256 }
    }

    /// Infers the sizes from a checkpoint's shapes (`prompt_generator.*`).
    ///
    /// # Errors
    /// When the memory bank is missing or is no matrix.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let name = "prompt_generator.memory_bank.weight";
        match tensors.get(name).map(Tensor::dims) {
            Some(&[slots, embedding_channels]) => Ok(Self { embedding_channels, slots }),
            found => Err(Error::Unrecognised {
                name: name.to_owned(),
                expected: "a matrix [slots, channels]".to_owned(),
                found: found.map_or("nothing".to_owned(), |dims| format!("{dims:?}")),
            }),
        }
    }

    /// Builds the generator from parameters at `vb`'s root, under `prompt_generator.*`.
    ///
    /// # Errors
    /// When there are no slots or no even number of channels, or a parameter is missing or has another
    /// shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<PromptGenerator> {
        let Self { embedding_channels: e, slots } = *self;
        if e == 0 || !e.is_multiple_of(2) || slots == 0 {
            candle_core::bail!(
                "prompt generator: {e} channels and {slots} slots; expected an even number of \
                 channels and at least one slot"
            );
        }
        let vb = vb.pp("prompt_generator");
        let window = Conv2dConfig::same(1);
        let fuse = Conv2dLayerConfig { inputs: 2 * e + 1, outputs: e, window, bias: true };
        let memory = vb.pp("memory_bank");
        Ok(PromptGenerator {
            // The official program draws the memory from U(±1 / √E).
            memory: memory.get_with_hints((slots, e), "weight", fan_in_uniform(e))?,
            position: FourierPosition::new(e, vb.pp("pe_layer"))?,
            fuse: fuse.build(vb.pp("fuse_conv"))?,
        })
    }

    /// Whether `name` is the buffer of positional encoding, which is stored with the parameters and not
    /// trained.
    pub fn is_buffer(name: &str) -> bool {
        name == "prompt_generator.pe_layer.positional_encoding_gaussian_matrix"
    }
}

/// DAPSAM's prompt generator, in place of SAM's prompt encoder.
///
/// The prototype of an image is the sum of its embedding's average and maximum over the grid. Attention
/// over the slots of a learned memory bank (softmax of dot products, without temperature) turns it into
/// a vector of training-domain features; the dense prompt fuses the embedding, that vector at every
/// pixel, and their cosine similarity.
#[derive(Debug, Clone)]
pub struct PromptGenerator {
    /// `[slots, E]`; learned by gradient, without an update rule.
    memory: Tensor,
    position: FourierPosition,
    fuse: Conv2d,
}

/// A generated prompt, with the steps to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GeneratedPrompt {
    /// Average plus maximum of the embedding, `[B, E]`.
    pub prototype: Tensor,
    /// The memory bank's output, `[B, E]`.
    pub memory: Tensor,
    /// Cosine similarity of that output and each pixel, `[B, 1, G, G]`.
    pub similarity: Tensor,
    /// The dense prompt, `[B, E, G, G]`.
    pub dense: Tensor,
}

impl PromptGenerator {
    /// The dense prompt of `embedding [B, E, G, G]`.
    ///
    /// # Errors
    /// When the channels are others.
    pub fn forward(&self, embedding: &Tensor) -> candle_core::Result<GeneratedPrompt> {
        let (b, e, height, width) = embedding.dims4()?;
        let pixels = embedding.flatten_from(2)?;
        let prototype = (pixels.mean(2)? + pixels.max(2)?)?;
        let weights = softmax(&prototype.matmul(&self.memory.t()?)?)?;
        let memory = weights.matmul(&self.memory)?;
        let similarity = cosine_similarity(&memory, embedding)?;
        let spread = memory.reshape((b, e, 1, 1))?.broadcast_as((b, e, height, width))?;
        let dense = Tensor::cat(&[embedding, &spread.contiguous()?, &similarity], 1)?;
        Ok(GeneratedPrompt { dense: self.fuse.forward(&dense)?, prototype, memory, similarity })
    }

    /// Positional encoding of a grid of side `grid`, `[1, E, G, G]`: SAM's formula over the generator's
    /// matrix, which is not the prompt encoder's.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn dense_pe(&self, grid: usize) -> candle_core::Result<Tensor> {
        self.position.grid(grid, self.memory.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use desam_nn::params::{LoadOptions, load};

    #[test]
    fn a_single_slot_is_the_memory_whatever_the_image() {
        let config = PromptGeneratorConfig { embedding_channels: 4, slots: 1 };
        let loaded =
            load(Tensors::new(), &LoadOptions::trainable(3), |vb| config.build(vb)).unwrap();
        let embedding = (0..2 * 4 * 9).map(|i| (i * 7 % 11) as f32 - 5.0);
        let embedding = Tensor::from_iter(embedding, &Device::Cpu).unwrap();
        let embedding = embedding.reshape((2, 4, 3, 3)).unwrap();
        let prompt = loaded.module.forward(&embedding).unwrap();
        let slot = &loaded.tensors["prompt_generator.memory_bank.weight"];
        for i in 0..2 {
            let found = prompt.memory.narrow(0, i, 1).unwrap();
            assert_eq!(found.to_vec2::<f32>().unwrap(), slot.to_vec2::<f32>().unwrap());
        }
        assert_eq!(prompt.dense.dims(), &[2, 4, 3, 3]);
        let numbers = prompt.similarity.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(numbers.iter().all(|r| r.abs() <= 1.0 + 1e-6));
        // The matrix of the positional encoding is a buffer: no gradient reaches it.
        let pe = loaded.module.dense_pe(3).unwrap();
        let objective = (prompt.dense.sum_all().unwrap() + pe.sum_all().unwrap()).unwrap();
        let grads = objective.backward().unwrap();
        for (name, var) in &loaded.vars {
            let trained = !PromptGeneratorConfig::is_buffer(name);
            assert_eq!(grads.get(var.as_tensor()).is_some(), trained, "{name}");
        }
    }

    #[test]
    fn sizes_are_inferred_and_impossible_ones_refused() {
        let bank = Tensor::zeros((32, 48), DType::F32, &Device::Cpu).unwrap();
        let name = "prompt_generator.memory_bank.weight".to_owned();
        let found = PromptGeneratorConfig::from_tensors(&Tensors::from([(name, bank)])).unwrap();
        assert_eq!(found, PromptGeneratorConfig { embedding_channels: 48, slots: 32 });
        let error = PromptGeneratorConfig::from_tensors(&Tensors::new()).unwrap_err().to_string();
        assert!(error.contains("memory_bank"), "{error}");
        let odd = PromptGeneratorConfig { embedding_channels: 5, slots: 2 };
        assert!(load(Tensors::new(), &LoadOptions::seeded(1), |vb| odd.build(vb)).is_err());
    }
}
