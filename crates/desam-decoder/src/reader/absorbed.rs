//! PRIM for many prompts of one image on a CPU, in f32, with absorbed projections.

use crate::Prim;
use crate::two_way::{AbsorbedOptions, AbsorbedOutput, SharedImage};
use candle_core::{Result, Tensor};
use desam_core::{ImageContext, PromptEmbedding, PromptOutput, PromptReader};

/// Prompts in a group. A group always has this many rows of tokens, its last prompt repeated where
/// there are fewer: matrix multiplications then have one size, and a prompt's bits do not depend on
/// how many it is batched with.
const GROUP: usize = 8;

/// Batch-invariant inference over prompts of one image. Prompts share a dense embedding unless they
/// have masks; what follows from it is computed with the first group and kept.
pub(super) struct AbsorbedReader<'a> {
    prim: &'a Prim,
    context: &'a ImageContext,
    shared: Option<SharedDense>,
}

/// The image with one dense prompt embedding added.
struct SharedDense {
    dense: DenseValues,
    image: SharedImage,
}

/// The distinct values of a dense prompt embedding, to recognise it: one a channel where all pixels
/// have the same.
#[derive(PartialEq)]
struct DenseValues(Vec<f32>);

impl DenseValues {
    /// From `dense [1, E, G, G]`.
    fn new(dense: &Tensor) -> Result<Self> {
        // The "no mask" embedding is broadcast over the pixels, which strides of 0 show.
        let same_everywhere = matches!(dense.stride(), [_, _, 0, 0]);
        let distinct = if same_everywhere && dense.elem_count() > 0 {
            dense.narrow(2, 0, 1)?.narrow(3, 0, 1)?
        } else {
            dense.clone()
        };
        Ok(Self(distinct.flatten_all()?.to_vec1()?))
    }
}

/// Outputs for a group of prompts.
struct GroupOutput {
    iou_all: Tensor,
    mask_tokens: Tensor,
    mask_embedding: Option<Tensor>,
}

impl<'a> AbsorbedReader<'a> {
    pub(super) fn new(prim: &'a Prim, context: &'a ImageContext) -> Self {
        Self { prim, context, shared: None }
    }

    /// The transformer's inputs that prompts with this `dense [1, E, G, G]` share.
    fn shared(&mut self, dense: &Tensor) -> Result<&SharedImage> {
        let key = DenseValues::new(dense)?;
        // Only the latest is retained: all prompts of a grid, and of a whole box, have the same.
        let shared = match self.shared.take().filter(|s| s.dense == key) {
            Some(shared) => shared,
            None => {
                let image = (&self.context.embedding + dense)?.flatten_from(2)?;
                let positions = self.context.position.flatten_from(2)?;
                SharedDense { dense: key, image: self.prim.transformer.share(&image, &positions)? }
            }
        };
        Ok(&self.shared.insert(shared).image)
    }

    fn encode_group(
        &mut self,
        sparse: &Tensor,
        dense: &Tensor,
        keep_image: bool,
    ) -> Result<GroupOutput> {
        let (prim, n) = (self.prim, sparse.dim(0)?);
        let (_, e, h, w) = self.context.embedding.dims4()?;
        // Padding with a real prompt keeps every value finite; its outputs are dropped below.
        let last = sparse.narrow(0, n - 1, 1)?;
        let filled: Vec<&Tensor> = std::iter::once(sparse)
            .chain(std::iter::repeat_n(&last, GROUP.saturating_sub(n)))
            .collect();
        let tokens = prim.tokens(&Tensor::cat(&filled, 0)?)?;
        let shared = self.shared(dense)?;
        let options = AbsorbedOptions { prompts: n, keep_image };
        let AbsorbedOutput { tokens, image } =
            prim.transformer.forward_absorbed(shared, &tokens, options)?;
        let image = image.map(|i| i.join()?.reshape((n, e, h, w))).transpose()?;
        Ok(GroupOutput {
            iou_all: prim.iou(&tokens)?.narrow(0, 0, n)?,
            // Token 0 is the IoU token.
            mask_tokens: tokens.narrow(1, 1, prim.mask_tokens()?)?.narrow(0, 0, n)?,
            mask_embedding: image,
        })
    }

    fn encode(&mut self, prompts: &PromptEmbedding, keep_image: bool) -> Result<Vec<GroupOutput>> {
        let PromptEmbedding { sparse, dense } = prompts;
        let n = dense.dim(0)?;
        if sparse.dim(0)? != n || dense.dims()[1..] != self.context.embedding.dims()[1..] {
            candle_core::bail!(
                "prompts of {:?} and {:?} do not fit an image of {:?}",
                sparse.shape(),
                dense.shape(),
                self.context.embedding.shape()
            );
        }
        // Prompts with different dense embeddings have different images from the start, and share
        // nothing: one a group.
        let group = if dense.stride().first() == Some(&0) { GROUP } else { 1 };
        (0..n)
            .step_by(group)
            .map(|at| {
                let sparse = sparse.narrow(0, at, group.min(n - at))?;
                self.encode_group(&sparse, &dense.narrow(0, at, 1)?, keep_image)
            })
            .collect()
    }
}

impl PromptReader for AbsorbedReader<'_> {
    fn encode_prompts(&mut self, prompts: &PromptEmbedding) -> Result<PromptOutput> {
        let groups = self.encode(prompts, true)?;
        let join = |pick: fn(&GroupOutput) -> Option<&Tensor>| {
            Tensor::cat(&groups.iter().filter_map(pick).collect::<Vec<_>>(), 0)
        };
        Ok(PromptOutput {
            iou_all: join(|g| Some(&g.iou_all))?,
            mask_tokens: join(|g| Some(&g.mask_tokens))?,
            mask_embedding: join(|g| g.mask_embedding.as_ref())?,
        })
    }

    fn predict_ious(&mut self, prompts: &PromptEmbedding) -> Result<Tensor> {
        // Without the image tokens, the last block's pass over the image writes nothing.
        let groups = self.encode(prompts, false)?;
        Tensor::cat(&groups.iter().map(|g| &g.iou_all).collect::<Vec<_>>(), 0)
    }

    fn batch_invariant(&self) -> bool {
        true
    }
}
