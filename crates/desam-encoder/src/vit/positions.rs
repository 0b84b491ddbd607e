//! Position tables of a state dict, resized for another input side.

use super::{VitConfig, resample};
use crate::{Error, Result};
use desam_nn::params::Tensors;

/// A state dict with resized position tables, and its configuration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResizedPositions {
    /// The configuration for the new input side.
    pub config: VitConfig,
    /// All tensors, the position tables replaced.
    pub tensors: Tensors,
}

impl VitConfig {
    /// Resizes the position tables in `tensors`, a state dict of this configuration, for another input
    /// side: the absolute positions bilinearly, the relative ones of global blocks linearly, those of
    /// windowed blocks not at all.
    ///
    /// [`VitEncoder::with_input_side`](super::VitEncoder::with_input_side) computes with the same
    /// tables. Here they are stored, as adapter checkpoints have them (DAPSAM's of 384 pixels).
    ///
    /// # Errors
    /// When the side is not a multiple of the patch, or a table is missing or has another shape.
    pub fn resize_positions(
        &self,
        tensors: &Tensors,
        input_side: usize,
    ) -> Result<ResizedPositions> {
        self.check_side(input_side)?;
        let config = Self { input_side, ..self.clone() };
        let grid = config.grid();
        let mut tensors = tensors.clone();
        let mut replace = |name: String, expected: &[usize], resize: &dyn Fn(&_) -> _| {
            let Some(table) = tensors.get_mut(&name) else {
                return Err(Error::shapes(name, "is missing"));
            };
            if table.dims() != expected {
                let problem = format!("has shape {:?}; expected {expected:?}", table.dims());
                return Err(Error::shapes(name, problem));
            }
            *table = resize(table)?;
            Ok(())
        };
        let (from, head) = (self.grid(), self.width / self.heads.max(1));
        let positions = "image_encoder.pos_embed".to_owned();
        replace(positions, &[1, from, from, self.width], &|t| resample::grid(t, grid))?;
        for block in &self.global_blocks {
            for axis in ["h", "w"] {
                let name = format!("image_encoder.blocks.{block}.attn.rel_pos_{axis}");
                let expected = [(2 * from).saturating_sub(1), head];
                replace(name, &expected, &|t| resample::table(t, 2 * grid - 1))?;
            }
        }
        Ok(ResizedPositions { config, tensors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};
    use desam_core::ImageEncoder;
    use desam_nn::params::{LoadOptions, load};

    #[test]
    fn stored_tables_compute_what_the_resampled_encoder_does() {
        let vit =
            VitConfig { input_side: 96, depth: 2, global_blocks: vec![1], ..VitConfig::tiny() };
        let drawn = load(Default::default(), &LoadOptions::seeded(3), |vb| {
            vit.build(vb.pp("image_encoder"))
        })
        .unwrap();
        let resized = vit.resize_positions(&drawn.tensors, 64).unwrap();
        assert_eq!(resized.config.grid(), 4);
        assert_eq!(resized.tensors["image_encoder.blocks.1.attn.rel_pos_h"].dims(), [7, 24]);
        // The windowed block keeps 2·7 − 1 entries.
        assert_eq!(resized.tensors["image_encoder.blocks.0.attn.rel_pos_h"].dims(), [13, 24]);
        let stored = load(resized.tensors, &LoadOptions::frozen(), |vb| {
            resized.config.build(vb.pp("image_encoder"))
        })
        .unwrap();
        stored.report.check().unwrap();
        let pixels = Tensor::full(0.3f32, (1, 3, 64, 64), &Device::Cpu).unwrap();
        let expected = drawn.module.with_input_side(64).unwrap().encode(&pixels).unwrap();
        let found = stored.module.encode(&pixels).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&found.embedding), flat(&expected.embedding));
    }

    #[test]
    fn missing_and_misshapen_tables_are_named() {
        let vit = VitConfig::tiny();
        let error = vit.resize_positions(&Tensors::new(), 64).unwrap_err().to_string();
        assert!(error.contains("pos_embed is missing"), "{error}");
        let table = Tensor::zeros((1, 4, 4, 96), DType::F32, &Device::Cpu).unwrap();
        let tensors = Tensors::from([("image_encoder.pos_embed".to_owned(), table)]);
        let error = vit.resize_positions(&tensors, 64).unwrap_err().to_string();
        assert!(error.contains("[1, 16, 16, 96]"), "{error}");
        assert!(vit.resize_positions(&tensors, 60).is_err());
    }
}
