//! DAPSAM's adapters: two bottlenecks a block, over the low-level features of the patch embedding.

use super::bottleneck::{Bottleneck, BottleneckConfig};
use super::{BlockAdapter, BlockInput};
use crate::shapes::dims;
use crate::{Error, VitConfig};
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use desam_core::named;
use desam_nn::layers::{Linear, LinearInit};
use desam_nn::ops::pooled_gate::pooled_gate;
use desam_nn::params::Tensors;

named! {
    /// The axes that DAPSAM's low-level features and the filter of its input adapters run over.
    #[derive(Default)]
    pub enum DapsamAxes: "DAPSAM axes" {
        /// The official program's, which the released weights were trained with. It reads a
        /// channels-last map as channels-first in two functions: low-level features are computed from a
        /// fixed permutation of all numbers of the map, and the filter gates the map's columns.
        #[default]
        Official = "official",
        /// The paper's: each token has its own low-level feature, and the filter gates channels.
        Intended = "intended",
    }
}

/// Rows, columns and channels of a batch of channels-last maps, `[B, G, G, C]`.
const ROWS: usize = 1;
const COLUMNS: usize = 2;
const CHANNELS: usize = 3;

/// Sizes of a [`DapsamAdapter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DapsamConfig {
    /// Channels `C` of a token.
    pub width: usize,
    /// Number of transformer blocks.
    pub depth: usize,
    /// Channels inside the bottlenecks, `C / 4` in the official program.
    pub hidden: usize,
    /// The axes of features and filter.
    pub axes: DapsamAxes,
}

impl DapsamConfig {
    /// The official program's sizes over an image encoder.
    pub fn for_vit(vit: &VitConfig) -> Self {
        let hidden = (vit.width / 4).max(1);
        Self { width: vit.width, depth: vit.depth, hidden, axes: DapsamAxes::Official }
    }

    /// Infers the sizes from a checkpoint's shapes, the official axes. No shape shows the axes.
    ///
    /// # Errors
    /// When the first block's adapter is missing or is of another width than the encoder.
    pub fn from_tensors(tensors: &Tensors, vit: &VitConfig) -> crate::Result<Self> {
        let name = "image_encoder.l_adapter.lightweight_mlp_0.0.weight";
        let [hidden, width] = dims::<2>(tensors, name)?;
        if width != vit.width {
            let problem = format!("has {width} inputs; the encoder has {} channels", vit.width);
            return Err(Error::shapes(name, problem));
        }
        Ok(Self { hidden, ..Self::for_vit(vit) })
    }

    /// Builds the adapter from parameters at `vb`'s root, under `image_encoder.l_adapter.*` and
    /// `image_encoder.blocks.*.channel_adapter.*`.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> Result<DapsamAdapter> {
        let Self { width, depth, hidden, axes } = *self;
        let vb = vb.pp("image_encoder");
        let low_level = vb.pp("l_adapter");
        // The official program's initialisation of the input adapters; those parallel to the
        // perceptrons have PyTorch's, so that the model does not start as SAM.
        let init =
            LinearInit { weight: Init::Randn { mean: 0.0, stdev: 0.02 }, bias: Init::Const(0.0) };
        let block = |index: usize| -> Result<AdapterBlock> {
            let input = low_level.pp(format!("lightweight_mlp_{index}"));
            let channel = vb.pp("blocks").pp(index).pp("channel_adapter");
            let config = BottleneckConfig { width, hidden, init: Some(init) };
            let plain = BottleneckConfig { init: None, ..config };
            Ok(AdapterBlock {
                input: Bottleneck::new(config, input.pp(0), input.pp(2))?,
                mlp: Bottleneck::new(plain, channel.pp("D_fc1"), channel.pp("D_fc2"))?,
            })
        };
        let generator = low_level.pp("embedding_generator");
        let probe = generator.get_with_hints((width, width), "weight", init.weight)?;
        Ok(DapsamAdapter {
            trainable: probe.track_op(),
            low_level: Linear::with_init(width, width, init, generator)?,
            blocks: (0..depth).map(block).collect::<Result<_>>()?,
            axes,
        })
    }

    /// Whether `name` is a parameter of the adapter and not of the frozen encoder: the official
    /// program's rule.
    pub fn is_adapter(name: &str) -> bool {
        name.starts_with("image_encoder.") && name.contains("adapter")
    }
}

/// Both bottlenecks of a block.
#[derive(Debug, Clone)]
struct AdapterBlock {
    /// Before the block.
    input: Bottleneck,
    /// Parallel to its perceptron.
    mlp: Bottleneck,
}

/// DAPSAM's adapters.
///
/// With `x₀` the tokens before the first block, `e = W x₀` its low-level features, `n` norm 2 of a
/// block and gates `F(u) = u · σ(max u + mean u)` pooled over the map, every block gets
/// `M(F(x / 2 + e))` added to its input, and `K(F(n + e)) / 2` added to its output.
#[derive(Debug, Clone)]
pub struct DapsamAdapter {
    low_level: Linear,
    blocks: Vec<AdapterBlock>,
    axes: DapsamAxes,
    trainable: bool,
}

impl DapsamAdapter {
    fn block(&self, index: usize) -> Result<&AdapterBlock> {
        match self.blocks.get(index) {
            Some(block) => Ok(block),
            None => candle_core::bail!(
                "DAPSAM adapter: block {index} of an encoder, adapters for {} blocks",
                self.blocks.len()
            ),
        }
    }

    /// The inputs of the low-level features' linear map: the tokens, or their permutation.
    fn low_level_inputs(&self, tokens: &Tensor) -> Result<Tensor> {
        match self.axes {
            DapsamAxes::Intended => Ok(tokens.clone()),
            DapsamAxes::Official => {
                let (b, rows, columns, channels) = tokens.dims4()?;
                // The official program takes the map for `[B, C, H, W]`, flattens its pixels and
                // transposes; no number is moved before.
                let flat = tokens.contiguous()?.reshape((b, channels, rows * columns))?;
                flat.transpose(1, 2)?.contiguous()?.reshape((b, rows, columns, channels))
            }
        }
    }
}

impl BlockAdapter for DapsamAdapter {
    fn is_trainable(&self) -> bool {
        self.trainable
    }

    fn shared(&self, tokens: &Tensor) -> Result<Option<Tensor>> {
        self.low_level.forward(&self.low_level_inputs(tokens)?).map(Some)
    }

    fn before_block(&self, tokens: &Tensor, input: BlockInput<'_>) -> Result<Option<Tensor>> {
        let mixed = ((tokens * 0.5)? + input.features()?)?;
        let pooled = match self.axes {
            DapsamAxes::Official => [ROWS, CHANNELS],
            DapsamAxes::Intended => [ROWS, COLUMNS],
        };
        let filtered = pooled_gate(&mixed, &pooled)?;
        self.block(input.index)?.input.forward(&filtered).map(Some)
    }

    fn beside_mlp(&self, normed: &Tensor, input: BlockInput<'_>) -> Result<Option<Tensor>> {
        let filtered = pooled_gate(&(normed + input.features()?)?, &[ROWS, COLUMNS])?;
        let added = self.block(input.index)?.mlp.forward(&filtered)?;
        input.call("mlp_adapter_filtered", || Ok(filtered))?;
        input.call("mlp_adapter", || Ok(added.clone()))?;
        (added * 0.5).map(Some)
    }
}
