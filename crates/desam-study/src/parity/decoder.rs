//! Stages of the mask decoder: mask embedding, predicted IoU, mask logits, on every code path.

use super::compare::Comparison;
use super::limits::Limits;
use super::official_model::OfficialModel;
use super::reference_vectors::ReferenceVectors;
use super::report::Stage;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use desam_core::{ImageFeatures, MaskDecoder, PromptEmbedding};

/// Reference files of the decoder's stages.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecoderVectors<'a> {
    pub(super) decoder: &'a ReferenceVectors,
    pub(super) prompts: &'a ReferenceVectors,
    pub(super) train: &'a ReferenceVectors,
}

/// A code path of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecoderPath {
    /// All images in one batch.
    Batched,
    /// One image at a time, its context shared by all prompts.
    PerImage,
    /// With gradients tracked, hence without the fast paths.
    Tracked,
    /// Features rounded to f16.
    Half,
}

/// Compares all decoder outputs, for each kind of prompt in the file.
pub(super) fn decoder(
    model: &OfficialModel,
    tracked: &OfficialModel,
    limits: &Limits,
    files: DecoderVectors<'_>,
) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    let kinds: Vec<&str> = files.decoder.between("", ".mask").collect();
    if kinds.is_empty() {
        return Err(files.decoder.wrong("holds no KIND.mask: nothing to compare"));
    }
    for kind in &kinds {
        let outputs = outputs(model, files, kind, DecoderPath::Batched)?;
        for (name, found) in outputs.named() {
            let mut compared = Comparison::default();
            compared.tensors(found, &files.decoder.f32(&format!("{kind}.{name}"))?)?;
            stages.push(compared.relative(format!("decoder {kind}.{name}"), limits.decoder));
        }
    }
    for (path, model, what, limit) in [
        (DecoderPath::PerImage, model, "image by image", limits.decoder),
        (DecoderPath::Tracked, tracked, "with gradients", limits.decoder),
        (DecoderPath::Half, model, "f16 features", limits.half),
    ] {
        let mut compared: [Comparison; 4] = Default::default();
        for kind in &kinds {
            let outputs = outputs(model, files, kind, path)?;
            for (compared, (name, found)) in compared.iter_mut().zip(outputs.named()) {
                compared.tensors(found, &files.decoder.f32(&format!("{kind}.{name}"))?)?;
            }
        }
        let names = ["mask_embedding", "iou_all", "iou", "mask"];
        let rows = compared.into_iter().zip(names);
        stages.extend(rows.map(|(c, name)| c.relative(format!("{what}: {name}"), limit)));
    }
    Ok(stages)
}

struct DecoderOutputs {
    mask_embedding: Tensor,
    iou_all: Tensor,
    iou: Tensor,
    mask: Tensor,
}

impl DecoderOutputs {
    fn named(&self) -> [(&'static str, &Tensor); 4] {
        [
            ("mask_embedding", &self.mask_embedding),
            ("iou_all", &self.iou_all),
            ("iou", &self.iou),
            ("mask", &self.mask),
        ]
    }

    fn cat(parts: &[Self]) -> candle_core::Result<Self> {
        let join = |pick: fn(&Self) -> &Tensor| {
            Tensor::cat(&parts.iter().map(pick).collect::<Vec<_>>(), 0)
        };
        Ok(Self {
            mask_embedding: join(|o| &o.mask_embedding)?,
            iou_all: join(|o| &o.iou_all)?,
            iou: join(|o| &o.iou)?,
            mask: join(|o| &o.mask)?,
        })
    }
}

fn outputs(
    model: &OfficialModel,
    files: DecoderVectors<'_>,
    kind: &str,
    path: DecoderPath,
) -> Result<DecoderOutputs> {
    let count = files.decoder.get(&format!("{kind}.mask"))?.dims().first().copied().unwrap_or(0);
    let index = Tensor::arange(0i64, i64::try_from(count).unwrap_or(0), &Device::Cpu)?;
    let (mut features, dtype) = (model.features(files.train, &index)?, model.precision.dtype());
    if path == DecoderPath::Half {
        features = features.to_dtype(DType::F16)?.to_dtype(dtype)?;
    }
    let prompts = PromptEmbedding {
        sparse: files.prompts.f32(&format!("{kind}.sparse"))?,
        dense: files.prompts.f32(&format!("{kind}.dense"))?,
    };
    let prompts = prompts.to_dtype(dtype)?;
    let position = files.prompts.f32("dense_pe")?.to_dtype(dtype)?;
    let wrong = |e: candle_core::Error| -> Error { files.decoder.wrong(format!("{kind}: {e}")) };
    if path != DecoderPath::PerImage {
        return decode(model, &features, &prompts, &position).map_err(wrong);
    }
    let one = |i: usize| {
        let prompts = PromptEmbedding {
            sparse: prompts.sparse.narrow(0, i, 1)?,
            dense: prompts.dense.narrow(0, i, 1)?,
        };
        decode(model, &features.image(i)?, &prompts, &position)
    };
    let parts: candle_core::Result<Vec<_>> = (0..count).map(one).collect();
    parts.and_then(|p| DecoderOutputs::cat(&p)).map_err(wrong)
}

fn decode(
    model: &OfficialModel,
    features: &ImageFeatures,
    prompts: &PromptEmbedding,
    position: &Tensor,
) -> candle_core::Result<DecoderOutputs> {
    let decoder = &model.decoder.module;
    let context = decoder.context(features, position)?;
    let reading = decoder.encode_prompts(&context, prompts)?;
    let mask = decoder.decode_masks(&context, &reading)?;
    let iou = reading.ious(1)?;
    Ok(DecoderOutputs {
        mask_embedding: reading.mask_embedding,
        iou_all: reading.iou_all,
        iou,
        mask,
    })
}
