//! A volume's features, slice by slice.

use crate::Result;
use candle_core::Device;
use desam_core::{ImageEncoder, ImageFeatures};
use desam_data::preprocess::PreparedVolume;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Where features come from.
#[derive(Clone, Copy)]
pub(super) struct Features<'a> {
    pub(super) encoder: &'a dyn ImageEncoder,
    pub(super) prepared: &'a PreparedVolume,
    pub(super) device: &'a Device,
}

impl Features<'_> {
    fn of(&self, z: usize) -> Result<ImageFeatures> {
        Ok(self.encoder.encode(&self.prepared.pixels(z, self.device)?)?)
    }

    /// Hands the features of every slice to `each`, in order.
    ///
    /// With `ahead` a slice is encoded while the one before is with `each`, in a thread of its own:
    /// the same numbers, and the features of one more slice in memory. That should pay where
    /// computing does not need the processor's cores: they can cut and enlarge one slice or select
    /// another's mask, some milliseconds each, while an accelerator is busy. On a CPU the encoder has
    /// all cores at work for seconds anyway, and both halves of the model at once would only take
    /// more memory.
    ///
    /// # Errors
    /// The first of a slice or of `each`; nothing more is handed over then.
    pub(super) fn each(
        &self,
        ahead: bool,
        mut each: impl FnMut(usize, ImageFeatures) -> Result<()>,
    ) -> Result<()> {
        let slices = self.prepared.len();
        if !ahead {
            return (0..slices).try_for_each(|z| each(z, self.of(z)?));
        }
        let features = *self;
        thread::scope(|scope| {
            let (next, made) = sync_channel(0);
            scope.spawn(move || {
                for z in 0..slices {
                    let of_slice = features.of(z);
                    let failed = of_slice.is_err();
                    // Where nobody takes it any more, `each` has failed.
                    if next.send(of_slice).is_err() || failed {
                        return;
                    }
                }
            });
            made.into_iter().enumerate().try_for_each(|(z, features)| each(z, features?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use candle_core::Tensor;
    use desam_core::{Affine, EncoderSpec, Grid, Volume};
    use desam_data::preprocess::PreprocessConfig;

    /// Gives the mean of a slice, and fails on slices brighter than `most`.
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

    fn means(most: f32, ahead: bool, until: usize) -> (Vec<f32>, Result<()>) {
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
        let features = Features { encoder: &encoder, prepared: &prepared, device: &Device::Cpu };
        let mut seen = Vec::new();
        let ended = features.each(ahead, |z, features| {
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
    fn slices_come_in_order_whether_ahead_or_not() {
        let (in_turn, ended) = means(f32::MAX, false, 99);
        ended.unwrap();
        assert!(in_turn.len() == 6 && in_turn.windows(2).all(|w| w[0] < w[1]), "{in_turn:?}");
        let (ahead, ended) = means(f32::MAX, true, 99);
        ended.unwrap();
        assert_eq!(ahead, in_turn);
    }

    #[test]
    fn the_first_failure_ends_it_on_either_side() {
        let (all, _) = means(f32::MAX, false, 99);
        for ahead in [false, true] {
            let (seen, ended) = means(all[2], ahead, 99);
            assert_eq!(seen, all[..3], "{ahead}");
            assert!(ended.unwrap_err().to_string().contains("too bright"));
            let (seen, ended) = means(f32::MAX, ahead, 2);
            assert_eq!(seen, all[..2], "{ahead}");
            assert_eq!(ended.unwrap_err().to_string(), "enough");
        }
    }
}
