//! Image encoder specification: sides and channel counts.

use crate::{Error, Result};

/// Limit on taps.
const MAX_TAPS: usize = 1 << 10;

/// Limit on channels.
const MAX_CHANNELS: usize = 1 << 16;

/// Input and output sizes of an image encoder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// Side `S` of the square input, in pixels.
    pub input_side: usize,
    /// Side of a patch, in pixels; the grid's side is `S / patch`.
    pub patch: usize,
    /// Channels of each tap, in the encoder's depth order.
    pub tap_channels: Vec<usize>,
    /// Channels `E` of the final embedding.
    pub embedding_channels: usize,
}

impl EncoderSpec {
    /// The largest side of an input or a mask: far beyond any encoder, and small enough that no
    /// product of sides and channels overflows.
    pub const LARGEST_SIDE: usize = 1 << 14;

    /// Checks that such an encoder can exist. For specs from files, before their numbers are used.
    ///
    /// # Errors
    /// [`Error::Spec`] when a side or a number of channels is 0 or above its limit, or the input side is
    /// no multiple of the patch.
    pub fn validate(&self) -> Result<()> {
        let Self { input_side, patch, tap_channels, embedding_channels } = self;
        if *patch == 0 || *input_side == 0 || !input_side.is_multiple_of(*patch) {
            let expected = "an input side above 0 that patches divide";
            let found = format!("patches of {patch} in an input of {input_side}");
            return Err(Error::Spec { expected: expected.into(), found });
        }
        let channels = tap_channels.iter().chain([embedding_channels]);
        if *input_side > Self::LARGEST_SIDE
            || self.mask_side() > Self::LARGEST_SIDE
            || tap_channels.len() > MAX_TAPS
            || channels.into_iter().any(|c| !(1..=MAX_CHANNELS).contains(c))
        {
            let expected = format!(
                "sides up to {}, up to {MAX_TAPS} taps, 1 to {MAX_CHANNELS} channels",
                Self::LARGEST_SIDE
            );
            return Err(Error::Spec { expected, found: format!("{self:?}") });
        }
        Ok(())
    }

    /// Side `G` of the feature grid.
    pub fn grid(&self) -> usize {
        self.input_side / self.patch
    }

    /// Side `M` of PIMM's mask logits over this grid: it upsamples 2× for every tap but the deepest, so
    /// SAM's three taps give `4 G`.
    pub fn mask_side(&self) -> usize {
        self.grid() << self.tap_channels.len().saturating_sub(1).min(16)
    }

    /// Number of feature values of one image, over all taps and the embedding.
    pub fn feature_elements(&self) -> usize {
        let channels = self.tap_channels.iter().sum::<usize>() + self.embedding_channels;
        channels * self.grid() * self.grid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_encoder_has_are_refused() {
        // SAM's ViT-B.
        let good = EncoderSpec {
            input_side: 1024,
            patch: 16,
            tap_channels: vec![768; 3],
            embedding_channels: 256,
        };
        good.validate().unwrap();
        assert_eq!((good.grid(), good.mask_side()), (64, 256));
        let with = |change: &dyn Fn(&mut EncoderSpec)| {
            let mut spec = good.clone();
            change(&mut spec);
            spec
        };
        for bad in [
            with(&|s| s.patch = 0),
            with(&|s| s.input_side = 0),
            with(&|s| s.patch = 10),
            with(&|s| s.input_side = 1 << 40),
            with(&|s| s.tap_channels = vec![8; 16]),
            with(&|s| s.tap_channels = vec![8; 2000]),
            with(&|s| s.tap_channels[1] = 0),
            with(&|s| s.embedding_channels = usize::MAX),
        ] {
            let error = bad.validate().unwrap_err().to_string();
            assert!(error.starts_with("encoder: expected"), "{bad:?}: {error}");
        }
    }
}
