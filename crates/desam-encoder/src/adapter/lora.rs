//! Low-rank adaptation (LoRA) of queries and values, as in SAMed.

use super::{BlockAdapter, BlockInput};
use crate::shapes::dims;
use crate::{Error, VitConfig};
use candle_core::{D, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use desam_nn::layers::fan_in_uniform;
use desam_nn::ops::linear::{Affine, Epilogue, linear};
use desam_nn::params::Tensors;

/// Sizes of a [`LoraAdapter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoraConfig {
    /// Channels `C` of a token.
    pub width: usize,
    /// Number of transformer blocks.
    pub depth: usize,
    /// Rank of the updates; 4 in SAMed.
    pub rank: usize,
}

impl LoraConfig {
    /// Updates of rank `rank` for an image encoder.
    pub fn for_vit(vit: &VitConfig, rank: usize) -> Self {
        Self { width: vit.width, depth: vit.depth, rank }
    }

    /// Infers the rank from a SAMed checkpoint.
    ///
    /// # Errors
    /// When the first update is missing or is of another width than the encoder.
    pub fn from_tensors(tensors: &Tensors, vit: &VitConfig) -> crate::Result<Self> {
        let name = factor_name('a', 0);
        let [rank, width] = dims::<2>(tensors, &name)?;
        if width != vit.width {
            let problem = format!("has {width} inputs; the encoder has {} channels", vit.width);
            return Err(Error::shapes(name, problem));
        }
        Ok(Self::for_vit(vit, rank))
    }

    /// Builds the adapter from parameters at `vb`'s root under the names of SAMed's files: `w_a_000`
    /// `[rank, C]` and `w_b_000` `[C, rank]` are those of block 0's queries, `001` of its values, `002` of
    /// block 1's queries. Missing ones are initialised as SAMed's, with `B = 0`.
    ///
    /// # Errors
    /// When the rank is 0, or a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> Result<LoraAdapter> {
        let Self { width, depth, rank } = *self;
        if rank == 0 {
            candle_core::bail!("LoRA: the rank is 0; expected at least 1");
        }
        let update = |index: usize| -> Result<LowRank> {
            let (a, b) = (factor_name('a', index), factor_name('b', index));
            Ok(LowRank {
                a: vb.get_with_hints((rank, width), &a, fan_in_uniform(width))?,
                b: vb.get_with_hints((width, rank), &b, Init::Const(0.0))?,
            })
        };
        let block = |i| Ok(LoraBlock { queries: update(2 * i)?, values: update(2 * i + 1)? });
        Ok(LoraAdapter { blocks: (0..depth).map(block).collect::<Result<_>>()? })
    }

    /// Whether `name` is a factor of an update, as SAMed's files name them.
    pub fn is_adapter(name: &str) -> bool {
        let number = name.strip_prefix("w_a_").or_else(|| name.strip_prefix("w_b_"));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// `w_a_007` and the like.
fn factor_name(factor: char, index: usize) -> String {
    format!("w_{factor}_{index:03}")
}

/// A low-rank update `B A` of a weight `[C, C]`.
#[derive(Debug, Clone)]
struct LowRank {
    /// `[rank, C]`
    a: Tensor,
    /// `[C, rank]`
    b: Tensor,
}

impl LowRank {
    /// `x [.., C]` → `B A x`, through the rank.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let map =
            |x: &Tensor, weight| linear(x, Affine { weight, bias: None }, Epilogue::default());
        map(&map(x, &self.a)?, &self.b)
    }

    /// The update as a matrix, `[C, C]`.
    fn product(&self) -> Result<Tensor> {
        self.b.matmul(&self.a)
    }
}

/// The updates of a block.
#[derive(Debug, Clone)]
struct LoraBlock {
    queries: LowRank,
    values: LowRank,
}

/// Low-rank updates of the queries and values of every block: `q + B A x` and `v + B' A' x`, without a
/// scaling factor. Keys are unchanged.
#[derive(Debug, Clone)]
pub struct LoraAdapter {
    blocks: Vec<LoraBlock>,
}

impl LoraAdapter {
    /// Merges the updates into the weights of a SAM's state dict: the encoder built from it computes the
    /// same as this adapter, at no cost. The new tensors carry no gradients.
    ///
    /// # Errors
    /// When the projection of a block is missing or has another shape.
    pub fn merge(&self, sam: &Tensors) -> crate::Result<Tensors> {
        let mut merged = sam.clone();
        for (index, block) in self.blocks.iter().enumerate() {
            let name = format!("image_encoder.blocks.{index}.attn.qkv.weight");
            let [rows, width] = dims::<2>(&merged, &name)?;
            let update = block.update()?.detach();
            if update.dims() != [rows, width] {
                let problem = format!("is [{rows}, {width}]; the update is {:?}", update.dims());
                return Err(Error::shapes(name, problem));
            }
            if let Some(weight) = merged.get_mut(&name) {
                *weight = (&*weight + update.to_device(weight.device())?)?;
            }
        }
        Ok(merged)
    }
}

impl LoraBlock {
    /// The update of the fused projection of queries, keys and values, `[3C, C]`.
    fn update(&self) -> Result<Tensor> {
        let (queries, values) = (self.queries.product()?, self.values.product()?);
        Tensor::cat(&[&queries, &queries.zeros_like()?, &values], 0)
    }
}

impl BlockAdapter for LoraAdapter {
    fn is_trainable(&self) -> bool {
        self.blocks.iter().any(|block| block.queries.a.track_op())
    }

    fn qkv_update(&self, normed: &Tensor, input: BlockInput<'_>) -> Result<Option<Tensor>> {
        let Some(block) = self.blocks.get(input.index) else {
            candle_core::bail!(
                "LoRA: block {} of an encoder, updates for {} blocks",
                input.index,
                self.blocks.len()
            );
        };
        let (queries, values) = (block.queries.forward(normed)?, block.values.forward(normed)?);
        // SAM's fused projection has the queries first and the values last, each with all heads.
        let keys = queries.zeros_like()?.detach();
        Tensor::cat(&[&queries, &keys, &values], D::Minus1).map(Some)
    }
}
