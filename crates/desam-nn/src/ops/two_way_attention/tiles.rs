//! An image as the exchange walks through it.

use crate::ops::gemm_conv::ROWS;
use crate::ops::vector::{build, f32s};
use candle_core::{DType, Device, Result, Tensor, bail};

/// Pixels of a stretch: what is made of one stays in the second cache from step to step.
pub(super) const PIXELS: usize = 256;

/// From channel to channel of a stretch. Not a power of two, so that channels do not all fall into
/// the same places of a cache; a vector may begin at any pixel.
pub(super) const STRIDE: usize = PIXELS + 16;

/// Images `[N, channels, P]`, f32 on the CPU, cut into stretches of pixels that lie in one piece
/// each.
#[derive(Clone)]
pub struct ImageTiles {
    /// `[stretches, N, channels, STRIDE]`, the channels rounded up to whole tiles of the product.
    values: Vec<f32>,
    images: usize,
    channels: usize,
    pixels: usize,
}

impl std::fmt::Debug for ImageTiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImageTiles [{}, {}, {}]", self.images, self.channels, self.pixels)
    }
}

impl ImageTiles {
    /// Cuts up `map [N, channels, P]`.
    ///
    /// # Errors
    /// When it is not f32 on the CPU.
    pub fn cut(map: &Tensor) -> Result<Self> {
        let (images, channels, pixels) = map.dims3()?;
        if map.dtype() != DType::F32 {
            bail!("image tiles: expected f32, found {:?}", map.dtype());
        }
        let map = map.contiguous()?;
        let (storage, layout) = map.storage_and_layout();
        let numbers = f32s(&storage, layout)?;
        let tile = tile_len(channels);
        let values = build(pixels.div_ceil(PIXELS) * images * tile, tile, |i, tile| {
            let (stretch, image) = (i / images, i % images);
            let from = stretch * PIXELS;
            let len = PIXELS.min(pixels - from);
            for (channel, line) in tile.chunks_exact_mut(STRIDE).take(channels).enumerate() {
                let begin = (image * channels + channel) * pixels + from;
                line[..len].copy_from_slice(&numbers[begin..begin + len]);
            }
            Ok(())
        })?;
        Ok(Self { values, images, channels, pixels })
    }

    /// Tiles that were made in their order, `like` others in all but the number of images.
    pub(super) fn made(values: Vec<f32>, images: usize, like: &Self) -> Self {
        Self { values, images, ..*like }
    }

    /// Put together again: `[N, channels, P]`.
    ///
    /// # Errors
    /// None in practice.
    pub fn join(&self) -> Result<Tensor> {
        let Self { images, channels, pixels, .. } = *self;
        let values = build(images * channels * pixels, pixels, |i, line| {
            let (image, channel) = (i / channels, i % channels);
            for (stretch, part) in line.chunks_mut(PIXELS).enumerate() {
                let tile = self.tile(stretch, image);
                part.copy_from_slice(&tile[channel * STRIDE..][..part.len()]);
            }
            Ok(())
        })?;
        Tensor::from_vec(values, (images, channels, pixels), &Device::Cpu)
    }

    /// `N`.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// `P`.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// A stretch of an image, or of the one there is.
    pub(super) fn tile(&self, stretch: usize, image: usize) -> &[f32] {
        let image = if self.images == 1 { 0 } else { image };
        let len = tile_len(self.channels);
        &self.values[(stretch * self.images + image) * len..][..len]
    }
}

/// Numbers of a tile.
pub(super) fn tile_len(channels: usize) -> usize {
    channels.next_multiple_of(ROWS) * STRIDE
}
