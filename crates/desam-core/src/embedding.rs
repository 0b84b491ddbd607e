//! Prompt batches, prompt embeddings and the prompt encoder trait.

use crate::{Error, Point, Prompt, PromptBox, Result};
use candle_core::{DType, Tensor};

/// A batch of `N` prompts of one kind, the prompt encoder's input: the same number of points each, all
/// with a box or none, all with a mask or none.
#[derive(Debug, Clone)]
pub struct Prompts {
    prompts: Vec<Prompt>,
    masks: Option<Tensor>,
}

impl Prompts {
    /// A batch of points and boxes.
    ///
    /// # Errors
    /// When there is no prompt, when the prompts differ in kind, or when a coordinate is not
    /// finite.
    pub fn new(prompts: Vec<Prompt>) -> Result<Self> {
        let Some(first) = prompts.first() else {
            return Err(Error::Prompts("none given; expected at least one".into()));
        };
        for (i, p) in prompts.iter().enumerate() {
            if p.points.len() != first.points.len() || p.bbox.is_some() != first.bbox.is_some() {
                return Err(Error::Prompts(format!(
                    "prompt {i} has {} points and {} box, prompt 0 has {} and {}; \
                     a batch holds one kind only",
                    p.points.len(),
                    if p.bbox.is_some() { "a" } else { "no" },
                    first.points.len(),
                    if first.bbox.is_some() { "a" } else { "no" },
                )));
            }
            let finite = p.points.iter().all(|q| q.x.is_finite() && q.y.is_finite())
                && p.bbox.is_none_or(|b| [b.x0, b.y0, b.x1, b.y1].iter().all(|v| v.is_finite()));
            if !finite {
                return Err(Error::Prompts(format!("prompt {i} has a non-finite coordinate")));
            }
        }
        Ok(Self { prompts, masks: None })
    }

    /// A batch with one point a prompt.
    ///
    /// # Errors
    /// As [`Prompts::new`].
    pub fn points(points: &[Point]) -> Result<Self> {
        Self::new(points.iter().copied().map(Prompt::point).collect())
    }

    /// A batch with one box a prompt.
    ///
    /// # Errors
    /// As [`Prompts::new`].
    pub fn boxes(boxes: &[PromptBox]) -> Result<Self> {
        Self::new(boxes.iter().copied().map(Prompt::boxed).collect())
    }

    /// A batch of mask prompts alone, logits `[N, 1, M, M]`.
    ///
    /// # Errors
    /// When the tensor is not four-dimensional with one channel.
    pub fn masks(masks: Tensor) -> Result<Self> {
        let n = masks.dim(0)?;
        Self::new(vec![Prompt::default(); n])?.with_masks(masks)
    }

    /// The same prompts with a mask each, logits `[N, 1, M, M]`.
    ///
    /// # Errors
    /// When the tensor is not `[N, 1, M, M]`.
    pub fn with_masks(mut self, masks: Tensor) -> Result<Self> {
        match masks.dims() {
            [n, 1, h, w] if *n == self.prompts.len() && h == w => {}
            other => {
                return Err(Error::shape(
                    "mask prompts [N, 1, M, M]",
                    (self.prompts.len(), 1, "M", "M"),
                    other,
                ));
            }
        }
        self.masks = Some(masks);
        Ok(self)
    }

    /// Number of prompts `N`.
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// Always false: a batch of prompts holds at least one.
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }

    /// The prompts on the host.
    pub fn as_slice(&self) -> &[Prompt] {
        &self.prompts
    }

    /// Points in each prompt.
    pub fn points_each(&self) -> usize {
        self.prompts.first().map_or(0, |p| p.points.len())
    }

    /// Whether each prompt has a box.
    pub fn has_boxes(&self) -> bool {
        self.prompts.first().is_some_and(|p| p.bbox.is_some())
    }

    /// Mask prompts `[N, 1, M, M]`, if any.
    pub fn mask_prompts(&self) -> Option<&Tensor> {
        self.masks.as_ref()
    }
}

/// Embedding of `N` prompts: the prompt encoder's output.
#[derive(Debug, Clone)]
pub struct PromptEmbedding {
    /// Tokens for points and box corners, `[N, T, E]`; `T` may be 0.
    pub sparse: Tensor,
    /// Mask prompts, or the learned "no mask" vector everywhere, `[N, E, G, G]`.
    pub dense: Tensor,
}

impl PromptEmbedding {
    /// Casts the embedding to another type. Broadcast dimensions (strides of 0) stay broadcast, such as
    /// the "no mask" vector at every pixel of every prompt: only distinct values are cast.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn to_dtype(&self, dtype: DType) -> candle_core::Result<Self> {
        let (mut once, shape) = (self.dense.clone(), self.dense.shape());
        for (dim, &stride) in self.dense.stride().iter().enumerate() {
            if stride == 0 && once.dim(dim)? > 1 {
                once = once.narrow(dim, 0, 1)?;
            }
        }
        let dense = once.to_dtype(dtype)?.broadcast_as(shape)?;
        // A mask prompt alone has no tokens, and CUDA refuses to launch a cast of an empty tensor.
        let sparse = match self.sparse.elem_count() {
            0 => Tensor::zeros(self.sparse.shape(), dtype, self.sparse.device())?,
            _ => self.sparse.to_dtype(dtype)?,
        };
        Ok(Self { sparse, dense })
    }
}

/// A frozen prompt encoder.
pub trait PromptEncoder: Send + Sync {
    /// Embeds `N` prompts given in pixels of the image encoder's input.
    ///
    /// # Errors
    /// When a mask prompt has the wrong side or a tensor operation fails.
    fn encode(&self, prompts: &Prompts) -> candle_core::Result<PromptEmbedding>;

    /// Positional encoding of the feature grid, `[1, E, G, G]`.
    fn dense_pe(&self) -> &Tensor;
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_cast_keeps_broadcast_dimensions() {
        let vector = Tensor::new(&[1.5f32, -2.0], &Device::Cpu).unwrap();
        let dense = vector.reshape((1, 2, 1, 1)).unwrap().broadcast_as((3, 2, 4, 4)).unwrap();
        let sparse = Tensor::zeros((3, 1, 2), DType::F32, &Device::Cpu).unwrap();
        let half = PromptEmbedding { sparse, dense: dense.clone() }.to_dtype(DType::BF16).unwrap();
        assert_eq!((half.sparse.dtype(), half.dense.dtype()), (DType::BF16, DType::BF16));
        assert_eq!((half.dense.dims(), half.dense.stride()[0]), (&[3, 2, 4, 4][..], 0));
        let back = half.dense.to_dtype(DType::F32).unwrap();
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(&back), numbers(&dense));
        // Distinct values are all kept.
        let ramp = Tensor::arange(0f32, 4.0, &Device::Cpu).unwrap().reshape((1, 1, 2, 2)).unwrap();
        let sparse = Tensor::zeros((1, 0, 1), DType::F32, &Device::Cpu).unwrap();
        let ramp_alone = PromptEmbedding { sparse, dense: ramp.clone() };
        let same = ramp_alone.to_dtype(DType::F32).unwrap();
        assert_eq!(numbers(&same.dense), numbers(&ramp));
        // An empty tensor of tokens stays empty in another type.
        let none = ramp_alone.to_dtype(DType::BF16).unwrap().sparse;
        assert_eq!((none.dims(), none.dtype()), (&[1, 0, 1][..], DType::BF16));
    }
}
