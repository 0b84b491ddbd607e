//! The image encoder: patch embedding, transformer blocks with taps, neck.

use super::block::Block;
use super::init::POSITION;
use super::{VitConfig, resample};
use crate::image_batch::encode_images;
use crate::neck::Neck;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::{EncoderSpec, ImageEncoder, ImageFeatures};
use desam_nn::layers::fan_in_uniform;
use desam_nn::ops::layout::{channels_first, patches};
use desam_nn::ops::linear::{Affine, Epilogue, linear};

/// SAM's `PatchEmbed`: a convolution whose stride is its kernel size, computed as a matrix
/// multiplication over patches (im2col without overlap), whose rows already are tokens.
#[derive(Debug, Clone)]
pub(super) struct PatchEmbed {
    /// `[C, 3, patch, patch]`
    weight: Tensor,
    bias: Tensor,
}

impl PatchEmbed {
    fn new(config: &VitConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, patch) = (config.width, config.patch);
        let hint = fan_in_uniform(3 * patch * patch);
        let weight = vb.get_with_hints((width, 3, patch, patch), "weight", hint)?;
        Ok(Self { weight, bias: vb.get_with_hints(width, "bias", hint)? })
    }

    /// Pixels `[B, 3, S, S]`, positions `[1, G, G, C]` → tokens `[B, G, G, C]`.
    pub(super) fn forward(&self, pixels: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let (width, _, patch, _) = self.weight.dims4()?;
        // Positions are the matrix multiplication's residual, so no pass over the tokens adds them.
        let patches = patches(pixels, patch)?.to_dtype(self.weight.dtype())?;
        let weight = self.weight.reshape((width, ()))?;
        let affine = Affine { weight: &weight, bias: Some(&self.bias) };
        linear(&patches, affine, Epilogue::add(positions))
    }
}

/// SAM's image encoder, frozen: a vision transformer whose global attention blocks are tapped.
///
/// Batch-invariant on a CPU: an image gives the same bits alone and in a batch.
#[derive(Debug, Clone)]
pub struct VitEncoder {
    config: VitConfig,
    pub(super) spec: EncoderSpec,
    pub(super) patch_embed: PatchEmbed,
    /// Absolute positions of the checkpoint's grid.
    pos_embed: Tensor,
    /// `pos_embed` resampled to the current grid.
    pub(super) positions: Tensor,
    pub(super) blocks: Vec<Block>,
    pub(super) neck: Neck,
}

impl VitEncoder {
    pub(super) fn new(config: &VitConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate().map_err(candle_core::Error::wrap)?;
        let (width, grid) = (config.width, config.grid());
        let embed = vb.pp("patch_embed").pp("proj");
        let pos_embed = vb.get_with_hints((1, grid, grid, width), "pos_embed", POSITION)?;
        let blocks = (0..config.depth).map(|i| Block::new(config, i, vb.pp("blocks").pp(i)));
        Ok(Self {
            config: config.clone(),
            spec: config.spec(),
            patch_embed: PatchEmbed::new(config, embed)?,
            positions: pos_embed.clone(),
            pos_embed,
            blocks: blocks.collect::<Result<_>>()?,
            neck: Neck::new(width, config.embedding_channels, vb.pp("neck"))?,
        })
    }

    /// The configuration of its parameters.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// The same encoder for another input side, sharing the parameters. The relative positions of global
    /// blocks are interpolated linearly as in SAM's `get_rel_pos`, the absolute positions bilinearly
    /// (for which SAM has no rule). Attention windows keep their size.
    ///
    /// # Errors
    /// When the side is not a multiple of the patch.
    pub fn with_input_side(&self, input_side: usize) -> crate::Result<Self> {
        self.config.check_side(input_side)?;
        let grid = input_side / self.config.patch;
        let blocks = self.blocks.iter().map(|b| b.with_grid(grid));
        Ok(Self {
            spec: EncoderSpec { input_side, ..self.spec.clone() },
            // From the checkpoint's table: one that was resampled before would be smoothed twice.
            positions: resample::grid(&self.pos_embed, grid)?,
            blocks: blocks.collect::<Result<_>>()?,
            ..self.clone()
        })
    }

    /// Features of pixels `[B, 3, S, S]`, whose shape has been checked.
    fn forward(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        let mut x = self.patch_embed.forward(pixels, &self.positions)?;
        let mut taps = Vec::with_capacity(self.spec.tap_channels.len());
        // Norm 1 of a block is fused with the residual of the block before it. Dropping each tensor as
        // soon as it is consumed keeps the peak at a few times the residual stream.
        let mut normed = None;
        for (i, block) in self.blocks.iter().enumerate() {
            let first = || block.norm1(&x);
            let attended = block.attn_residual_norm2(normed.take().map_or_else(first, Ok)?, &x)?;
            x = match self.blocks.get(i + 1) {
                Some(next) => {
                    let output = block.mlp_residual_norm1(next, attended)?;
                    normed = Some(output.normed);
                    output.sum
                }
                None => block.mlp_residual(attended)?,
            };
            // The official DeSAM taps every global block but the last, whose output the neck takes.
            if block.is_global() && taps.len() < self.spec.tap_channels.len() {
                taps.push(channels_first(&x)?);
            }
        }
        let embedding = self.neck.forward(&x)?;
        Ok(ImageFeatures { taps, embedding })
    }
}

impl ImageEncoder for VitEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn encode(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        encode_images(&self.spec, pixels, self.pos_embed.track_op(), |pixels| self.forward(pixels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use desam_nn::params::{LoadOptions, Missing, load};

    fn random(config: &VitConfig) -> VitEncoder {
        let options =
            LoadOptions { missing: Missing::Initialise { seed: 3 }, ..LoadOptions::frozen() };
        load(Default::default(), &options, |vb| config.build(vb)).unwrap().module
    }

    fn image(batch: usize, side: usize) -> Tensor {
        let values = (0..batch * 3 * side * side).map(|i| ((i * 7919 % 1013) as f32) / 500.0 - 1.0);
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((batch, 3, side, side)).unwrap()
    }

    fn bits(t: &Tensor) -> Vec<u32> {
        let flat = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        flat.into_iter().map(f32::to_bits).collect()
    }

    /// ViT-B's widths on a small input, windows (14) larger than the grid (8), two blocks.
    fn small_vit_b() -> VitConfig {
        VitConfig { input_side: 128, depth: 2, global_blocks: vec![0, 1], ..VitConfig::vit_b() }
    }

    #[test]
    fn vit_b_widths_run_and_taps_are_all_global_blocks_but_the_last() {
        let encoder = random(&small_vit_b());
        let features = encoder.encode(&image(1, 128)).unwrap();
        assert_eq!(features.taps.len(), 1);
        assert_eq!(features.taps[0].dims(), &[1, 768, 8, 8]);
        assert_eq!(features.embedding.dims(), &[1, 256, 8, 8]);
        let windowed = random(&VitConfig { global_blocks: vec![1], ..small_vit_b() });
        let features = windowed.encode(&image(1, 128)).unwrap();
        assert!(features.taps.is_empty());
        assert!(bits(&features.embedding).iter().all(|b| f32::from_bits(*b).is_finite()));
    }

    #[test]
    fn a_batch_gives_the_bits_of_its_images_one_by_one() {
        let encoder = random(&VitConfig { input_side: 64, ..VitConfig::tiny() });
        let pixels = image(3, 64);
        let together = encoder.encode(&pixels).unwrap();
        for i in 0..3 {
            let alone = encoder.encode(&pixels.narrow(0, i, 1).unwrap()).unwrap();
            let same = together.image(i).unwrap();
            assert_eq!(bits(&alone.embedding), bits(&same.embedding));
            for (a, b) in alone.taps.iter().zip(&same.taps) {
                assert_eq!(bits(a), bits(b));
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_the_bits() {
        let encoder = random(&VitConfig { input_side: 112, ..VitConfig::tiny() });
        let pixels = image(2, 112);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bits(&encoder.encode(&pixels).unwrap().embedding))
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn another_input_side_works_and_the_original_one_changes_nothing() {
        let encoder = random(&VitConfig::tiny());
        let other = encoder.with_input_side(208).unwrap();
        assert_eq!(other.spec().grid(), 13);
        let features = other.encode(&image(1, 208)).unwrap();
        assert_eq!(features.taps[2].dims(), &[1, 96, 13, 13]);
        let back = other.with_input_side(256).unwrap();
        let pixels = image(1, 256);
        let (a, b) = (encoder.encode(&pixels).unwrap(), back.encode(&pixels).unwrap());
        assert_eq!(bits(&a.embedding), bits(&b.embedding));
        assert!(encoder.with_input_side(200).is_err() && encoder.with_input_side(0).is_err());
        for side in [1 << 20, usize::MAX] {
            let error = encoder.with_input_side(side).err().unwrap().to_string();
            assert!(error.contains("16384"), "{error}");
        }
    }

    #[test]
    fn a_constant_image_has_similar_features_at_another_side() {
        // With a constant colour only the positions differ, and those are interpolated smoothly.
        let encoder = random(&VitConfig { global_blocks: (0..8).collect(), ..VitConfig::tiny() });
        let grey = |side| Tensor::full(0.3f32, (1, 3, side, side), &Device::Cpu).unwrap();
        let mean = |t: Tensor| t.flatten_from(2).unwrap().mean(2).unwrap();
        let a = mean(encoder.encode(&grey(256)).unwrap().embedding);
        let larger = encoder.with_input_side(320).unwrap();
        let b = mean(larger.encode(&grey(320)).unwrap().embedding);
        let norm =
            |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        let relative = norm(&(&a - &b).unwrap()) / norm(&a);
        assert!(relative < 0.15, "{relative}");
    }

    #[test]
    fn wrong_shapes_are_refused_with_the_right_one_named() {
        let encoder = random(&VitConfig { input_side: 64, ..VitConfig::tiny() });
        for shape in [vec![1, 1, 64, 64], vec![1, 3, 64, 32], vec![3, 64, 64], vec![0, 3, 64, 64]] {
            let pixels = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            let error = encoder.encode(&pixels).unwrap_err().to_string();
            assert!(error.contains("[B, 3, 64, 64]"), "{error}");
        }
    }
}
