//! TinyViT configuration: MobileSAM's sizes, validation, and inference from a checkpoint's shapes.

use super::TinyVitEncoder;
use crate::shapes::{check_input_side, count_blocks, dims, is_tiny_vit};
use crate::{Error, Result};
use candle_nn::VarBuilder;
use desam_core::EncoderSpec;
use desam_nn::params::Tensors;

/// Side of a patch: the stem and two of three downsamplings halve the image, each once or twice.
const PATCH: usize = 16;

/// Configuration of MobileSAM's image encoder. Stage 0 is convolutional, stages 1 to 3 attend within
/// windows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TinyVitConfig {
    /// Side `S` of the square input, pixels; a multiple of 16. No parameter depends on it.
    pub input_side: usize,
    /// Channels of each stage; the first is even, those of stage 2 are the taps'.
    pub widths: [usize; 4],
    /// Blocks of each stage; at least three in stage 2, which is tapped.
    pub depths: [usize; 4],
    /// Attention heads of stages 1 to 3; each divides its stage's width.
    pub heads: [usize; 3],
    /// Sides of the attention windows of stages 1 to 3, tokens.
    pub windows: [usize; 3],
    /// Channels `E` of the neck's output.
    pub embedding_channels: usize,
}

impl TinyVitConfig {
    /// MobileSAM's TinyViT-5M.
    pub fn mobile_sam() -> Self {
        Self {
            input_side: 1024,
            widths: [64, 128, 160, 320],
            depths: [2, 2, 6, 2],
            heads: [4, 5, 10],
            windows: [7, 14, 7],
            embedding_channels: 256,
        }
    }

    /// Whether the image encoder of a checkpoint is a TinyViT.
    pub fn is_in(tensors: &Tensors) -> bool {
        is_tiny_vit(tensors)
    }

    /// Checks that an encoder can be built.
    ///
    /// # Errors
    /// When a size is zero or not a multiple of what it must be, or stage 2 is too shallow for its taps.
    pub fn validate(&self) -> Result<()> {
        let Self { widths, depths, heads, windows, embedding_channels, input_side } = self;
        let sizes = widths.iter().chain(depths).chain(heads).chain(windows);
        if sizes.chain([embedding_channels]).any(|size| *size == 0) {
            return Err(Error::Config(format!("{self:?}: a size is 0")));
        }
        let [stem, attending @ ..] = widths;
        if !stem.is_multiple_of(2) {
            return Err(Error::Config(format!(
                "width {stem} of stage 0 is odd; expected an even one"
            )));
        }
        for (width, heads) in attending.iter().zip(heads) {
            if !width.is_multiple_of(*heads) {
                let problem = format!("width {width} is not a multiple of heads {heads}");
                return Err(Error::Config(problem));
            }
        }
        let [_, _, tapped, _] = depths;
        if *tapped < 3 {
            let problem =
                format!("stage 2 has {tapped} blocks; expected at least 3, which are tapped");
            return Err(Error::Config(problem));
        }
        check_input_side(*input_side, PATCH)
    }

    /// Indices of the blocks of stage 2 whose outputs are taps: the ends of its thirds. Stage 3 has the
    /// same grid, and the neck takes its output.
    pub fn tap_blocks(&self) -> [usize; 3] {
        let [_, _, depth, _] = self.depths;
        [1, 2, 3].map(|third| (third * depth).div_ceil(3).saturating_sub(1))
    }

    /// Input and output sizes: three taps of stage 2.
    pub fn spec(&self) -> EncoderSpec {
        let [_, _, tapped, _] = self.widths;
        EncoderSpec {
            input_side: self.input_side,
            patch: PATCH,
            tap_channels: vec![tapped; self.tap_blocks().len()],
            embedding_channels: self.embedding_channels,
        }
    }

    /// Builds the encoder in f32 with parameters from `vb`, which is at `image_encoder`.
    ///
    /// # Errors
    /// When the configuration is not valid, a parameter is missing or has another shape, or a batch
    /// norm has a negative variance.
    pub fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<TinyVitEncoder> {
        TinyVitEncoder::new(self, vb)
    }

    /// Infers the configuration from a checkpoint's shapes, under MobileSAM's names. The input side, which
    /// no shape shows, is MobileSAM's 1024.
    ///
    /// # Errors
    /// When a parameter that determines a size is missing or contradicts the others.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let at = |name: &str| format!("image_encoder.{name}");
        let [stem, ..] = dims::<4>(tensors, &at("patch_embed.seq.2.c.weight"))?;
        let mut config = Self { widths: [stem; 4], ..Self::mobile_sam() };
        let [_, attending @ ..] = &mut config.widths;
        for (layer, width) in attending.iter_mut().enumerate() {
            [*width, ..] =
                dims::<4>(tensors, &at(&format!("layers.{layer}.downsample.conv1.c.weight")))?;
        }
        for (layer, depth) in config.depths.iter_mut().enumerate() {
            *depth = count_blocks(tensors, &at(&format!("layers.{layer}.blocks.")));
        }
        for (stage, (heads, window)) in config.heads.iter_mut().zip(&mut config.windows).enumerate()
        {
            let name = at(&format!("layers.{}.blocks.0.attn.attention_biases", stage + 1));
            let [of_heads, offsets] = dims::<2>(tensors, &name)?;
            let side = offsets.isqrt();
            if side * side != offsets {
                let problem =
                    format!("has {offsets} offsets; expected the square of a window's side");
                return Err(Error::shapes(name, problem));
            }
            (*heads, *window) = (of_heads, side);
        }
        [config.embedding_channels, ..] = dims::<4>(tensors, &at("neck.0.weight"))?;
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_the_ends_of_the_thirds_of_stage_2() {
        let config = TinyVitConfig::mobile_sam();
        config.validate().unwrap();
        // Blocks 1, 3 and 5 of six, evenly spaced as the global blocks of SAM's ViT are.
        assert_eq!(config.tap_blocks(), [1, 3, 5]);
        let three = TinyVitConfig { depths: [2, 2, 3, 2], ..config.clone() };
        assert_eq!(three.tap_blocks(), [0, 1, 2]);
        let spec = config.spec();
        assert_eq!((spec.tap_channels.as_slice(), spec.grid()), (&[160; 3][..], 64));
        assert_eq!((spec.embedding_channels, spec.mask_side()), (256, 256));
    }

    #[test]
    fn what_cannot_exist_is_refused() {
        let good = TinyVitConfig::mobile_sam;
        for (bad, expected) in [
            (TinyVitConfig { input_side: 1000, ..good() }, "1008 would be"),
            (TinyVitConfig { widths: [63, 128, 160, 320], ..good() }, "63 of stage 0"),
            (TinyVitConfig { heads: [3, 5, 10], ..good() }, "multiple of heads 3"),
            (TinyVitConfig { depths: [2, 2, 2, 2], ..good() }, "at least 3"),
            (TinyVitConfig { windows: [7, 0, 7], ..good() }, "is 0"),
        ] {
            let error = bad.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
