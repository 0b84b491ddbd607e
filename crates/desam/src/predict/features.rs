//! Features of a volume's slices, with the next slice prefetched on an accelerator.

use crate::Result;
use candle_core::Device;
use desam_core::{ImageEncoder, ImageFeatures, pipeline};
use desam_data::preprocess::PreparedVolume;

/// Encodes the slices of a volume.
#[derive(Clone, Copy)]
pub(super) struct SliceFeatures<'a> {
    pub(super) encoder: &'a dyn ImageEncoder,
    pub(super) prepared: &'a PreparedVolume,
    pub(super) device: &'a Device,
}

impl SliceFeatures<'_> {
    /// Features of processed slice `z`.
    pub(super) fn encode(&self, z: usize) -> Result<ImageFeatures> {
        Ok(self.encoder.encode(&self.prepared.pixels(z, self.device)?)?)
    }

    /// Calls `work` with the index and the features of every slice, in order.
    ///
    /// With `ahead = 1` a background thread encodes a slice while `work` has the one before it: the
    /// same numbers, and the features of one more slice in memory. That pays where computing does
    /// not need the processor's cores: they can crop and enlarge one slice or select another's mask,
    /// some milliseconds each, while an accelerator is busy. On a CPU the encoder keeps all cores
    /// busy for seconds anyway, and running both halves of the model at once would only take more
    /// memory.
    ///
    /// # Errors
    /// The first of a slice or of `work`; nothing comes after it.
    pub(super) fn for_each(
        &self,
        ahead: usize,
        mut work: impl FnMut(usize, ImageFeatures) -> Result<()>,
    ) -> Result<()> {
        let mut slices = 0..self.prepared.len();
        pipeline::prefetch(
            self.prepared.len(),
            ahead,
            |z| self.encode(z),
            |features| slices.next().map_or(Ok(()), |z| work(z, features)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use candle_core::Tensor;
    use desam_core::{Affine, EncoderSpec, Grid, Volume};
    use desam_data::preprocess::PreprocessConfig;

    /// An encoder whose embedding is the mean of a slice; it fails on slices brighter than `most`.
    struct Mean {
        spec: EncoderSpec,
        most: f32,
    }

    impl ImageEncoder for Mean {
        fn spec(&self) -> &EncoderSpec {
            &self.spec
        }

        fn encode(&self, pixels: &Tensor) -> candle_core::Result<ImageFeatures> {
            let mean = pixels.mean_all()?;
            if mean.to_scalar::<f32>()? > self.most {
                candle_core::bail!("too bright");
            }
            Ok(ImageFeatures { taps: Vec::new(), embedding: mean })
        }
    }

    fn means(most: f32, ahead: usize, until: usize) -> (Vec<f32>, Result<()>) {
        let spec = EncoderSpec {
            input_side: 64,
            patch: 16,
            tap_channels: vec![8; 3],
            embedding_channels: 8,
        };
        let grid = Grid { dims: [8, 8, 6], affine: Affine::from_spacing([1.0; 3]) };
        let values = (0..grid.len()).map(|v| (v / 64) as f32).collect();
        let config = PreprocessConfig { percentiles: [0.0, 100.0], ..PreprocessConfig::official() };
        let volume = Volume::new(grid, values).unwrap();
        let prepared = config.stored().prepare(&volume, &spec).unwrap();
        let encoder = Mean { spec, most };
        let features =
            SliceFeatures { encoder: &encoder, prepared: &prepared, device: &Device::Cpu };
        let mut seen = Vec::new();
        let ended = features.for_each(ahead, |z, features| {
            assert_eq!(z, seen.len());
            if z == until {
                return Err(Error::Invalid("enough".into()));
            }
            seen.push(features.embedding.to_scalar::<f32>()?);
            Ok(())
        });
        (seen, ended)
    }

    #[test]
    fn slices_come_in_order_with_and_without_prefetch() {
        let (in_turn, ended) = means(f32::MAX, 0, 99);
        ended.unwrap();
        assert!(in_turn.len() == 6 && in_turn.windows(2).all(|w| w[0] < w[1]), "{in_turn:?}");
        let (ahead, ended) = means(f32::MAX, 1, 99);
        ended.unwrap();
        assert_eq!(ahead, in_turn);
    }

    #[test]
    fn the_first_error_of_either_side_ends_it() {
        let (all, _) = means(f32::MAX, 0, 99);
        for ahead in [0, 1] {
            let (seen, ended) = means(all[2], ahead, 99);
            assert_eq!(seen, all[..3], "{ahead}");
            assert!(ended.unwrap_err().to_string().contains("too bright"));
            let (seen, ended) = means(f32::MAX, ahead, 2);
            assert_eq!(seen, all[..2], "{ahead}");
            assert_eq!(ended.unwrap_err().to_string(), "enough");
        }
    }
}
