//! Image tiles: the memory layout of an image that is processed a chunk of pixels at a time.

use crate::ops::gemm_conv::ROWS;
use crate::ops::vector::{build, f32s};
use candle_core::{DType, Device, Result, Tensor, bail};

/// Pixels of a chunk: its tokens, scores and weights stay in the L2 cache from step to step.
pub(super) const PIXELS: usize = 256;

/// Numbers from channel to channel of a chunk. Not a power of two, so that channels do not all fall
/// into the same cache sets; the padding also lets a vector begin at any pixel.
pub(super) const STRIDE: usize = PIXELS + 16;

/// Images `[N, channels, P]`, f32 on the CPU, in contiguous chunks of pixels.
#[derive(Clone)]
pub struct ImageTiles {
    /// `[chunks, N, channels, STRIDE]`, the channels rounded up to whole tiles of the microkernel.
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
    /// Cuts `map [N, channels, P]` into chunks.
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
            let (chunk, image) = (i / images, i % images);
            let from = chunk * PIXELS;
            let len = PIXELS.min(pixels - from);
            for (channel, line) in tile.chunks_exact_mut(STRIDE).take(channels).enumerate() {
                let begin = (image * channels + channel) * pixels + from;
                line[..len].copy_from_slice(&numbers[begin..begin + len]);
            }
            Ok(())
        })?;
        Ok(Self { values, images, channels, pixels })
    }

    /// Tiles from values in the order of the field, with the sizes of `like` but for the number of
    /// images.
    pub(super) fn from_values(values: Vec<f32>, images: usize, like: &Self) -> Self {
        Self { values, images, ..*like }
    }

    /// The image as a tensor `[N, channels, P]`.
    ///
    /// # Errors
    /// None in practice.
    pub fn join(&self) -> Result<Tensor> {
        let Self { images, channels, pixels, .. } = *self;
        let values = build(images * channels * pixels, pixels, |i, line| {
            let (image, channel) = (i / channels, i % channels);
            for (chunk, part) in line.chunks_mut(PIXELS).enumerate() {
                let tile = self.tile(chunk, image);
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

    /// A chunk of image `image`, or of the only one where all prompts share it.
    pub(super) fn tile(&self, chunk: usize, image: usize) -> &[f32] {
        let image = if self.images == 1 { 0 } else { image };
        let len = tile_len(self.channels);
        &self.values[(chunk * self.images + image) * len..][..len]
    }
}

/// Length of one chunk of one image.
pub(super) fn tile_len(channels: usize) -> usize {
    channels.next_multiple_of(ROWS) * STRIDE
}
