//! Image features and the image encoder trait.

use crate::EncoderSpec;
use candle_core::{DType, Device, Result, Tensor};

/// Features of a batch of images: the image encoder's output.
#[derive(Debug, Clone)]
pub struct ImageFeatures {
    /// Outputs of intermediate global-attention blocks, `[B, C, G, G]` each, in depth order.
    pub taps: Vec<Tensor>,
    /// The neck's output, `[B, E, G, G]`.
    pub embedding: Tensor,
}

impl ImageFeatures {
    /// Number of images `B`.
    pub fn batch(&self) -> Result<usize> {
        self.embedding.dim(0)
    }

    /// The features of image `index` alone, `B = 1`.
    pub fn image(&self, index: usize) -> Result<Self> {
        self.map(|t| t.narrow(0, index, 1))
    }

    /// All features in another type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        self.map(|t| t.to_dtype(dtype))
    }

    /// All features on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        self.map(|t| t.to_device(device))
    }

    /// Concatenates batches of features along `B`.
    ///
    /// # Errors
    /// When `parts` is empty or the parts differ in taps or shapes.
    pub fn cat(parts: &[Self]) -> Result<Self> {
        let Some(first) = parts.first() else {
            candle_core::bail!("no features to join: expected at least one image");
        };
        if let Some(odd) = parts.iter().find(|p| p.taps.len() != first.taps.len()) {
            candle_core::bail!(
                "features to join differ in taps: {} and {}",
                first.taps.len(),
                odd.taps.len()
            );
        }
        let join = |pick: &dyn Fn(&Self) -> Tensor| {
            let tensors: Vec<Tensor> = parts.iter().map(pick).collect();
            Tensor::cat(&tensors, 0)
        };
        let taps = (0..first.taps.len()).map(|i| join(&|p| p.taps[i].clone()));
        Ok(Self { taps: taps.collect::<Result<_>>()?, embedding: join(&|p| p.embedding.clone())? })
    }

    fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            taps: self.taps.iter().map(&f).collect::<Result<_>>()?,
            embedding: f(&self.embedding)?,
        })
    }
}

/// A frozen image encoder: SAM's ViT, a cache on disk, or a third party's backbone.
pub trait ImageEncoder: Send + Sync {
    /// Input and output sizes.
    fn spec(&self) -> &EncoderSpec;

    /// Encodes normalised pixels `[B, 3, S, S]`.
    ///
    /// # Errors
    /// When the shape is not `[B, 3, S, S]` or a tensor operation fails.
    fn encode(&self, pixels: &Tensor) -> Result<ImageFeatures>;
}
