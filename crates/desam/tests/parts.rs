//! Models of foreign parts: an image encoder, a prompt encoder and a mask decoder of which only the
//! traits are known.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod toy;

use desam::candle::{Result as TensorResult, Tensor};
use desam::data::preprocess::PreprocessConfig;
use desam::decoder::{Decoder, DecoderConfig};
use desam::encoder::{FrozenSam, SamImageEncoder, SamPromptEncoder, VitConfig};
use desam::model::{ModelInput, ModelParts, ModelRecord};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::types::{
    EncoderSpec, ImageContext, ImageEncoder, ImageFeatures, MaskDecoder, PromptEmbedding,
    PromptEncoder, PromptOutput, Prompts, Volume,
};
use desam::{Compute, Error, Mode, Model, PromptingConfig, Quiet, Segmenter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls of a part.
#[derive(Default)]
struct Calls(AtomicUsize);

impl Calls {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn made(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct ForeignEncoder(SamImageEncoder, Calls);

impl ImageEncoder for ForeignEncoder {
    fn spec(&self) -> &EncoderSpec {
        self.0.spec()
    }

    fn encode(&self, pixels: &Tensor) -> TensorResult<ImageFeatures> {
        self.1.count();
        self.0.encode(pixels)
    }
}

struct ForeignPromptEncoder(SamPromptEncoder, Calls);

impl PromptEncoder for ForeignPromptEncoder {
    fn encode(&self, prompts: &Prompts) -> TensorResult<PromptEmbedding> {
        self.1.count();
        self.0.encode(prompts)
    }

    fn dense_pe(&self) -> &Tensor {
        self.0.dense_pe()
    }
}

struct ForeignDecoder(Decoder, Calls);

impl MaskDecoder for ForeignDecoder {
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> TensorResult<ImageContext> {
        self.0.context(features, position)
    }

    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> TensorResult<PromptOutput> {
        self.0.encode_prompts(context, prompts)
    }

    fn decode_masks(&self, context: &ImageContext, output: &PromptOutput) -> TensorResult<Tensor> {
        self.1.count();
        self.0.decode_masks(context, output)
    }
}

fn parts() -> ModelParts {
    let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
    let (sam, config) = (FrozenSam::random(&vit, 9).unwrap().sam, DecoderConfig::tiny(&vit.spec()));
    let decoder = load(Tensors::new(), &LoadOptions::seeded(10), |vb| config.build(vb)).unwrap();
    let input = ModelInput { spec: vit.spec(), preprocess: PreprocessConfig::official() };
    ModelParts {
        encoder: Arc::new(sam.image),
        prompt_encoder: Arc::new(sam.prompt),
        decoder: Arc::new(decoder.module),
        record: Arc::new(ModelRecord::untrained("toy".into(), "toy".into(), input)),
        compute: Compute::cpu(),
    }
}

/// Concrete parts of the same weights as [`parts`].
fn concrete() -> (SamImageEncoder, SamPromptEncoder, Decoder) {
    let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
    let (sam, config) = (FrozenSam::random(&vit, 9).unwrap().sam, DecoderConfig::tiny(&vit.spec()));
    let decoder = load(Tensors::new(), &LoadOptions::seeded(10), |vb| config.build(vb)).unwrap();
    (sam.image, sam.prompt, decoder.module)
}

fn mask(model: Model, volume: &Volume) -> Vec<u8> {
    let mut prompting = PromptingConfig::new(Mode::Points, 3, model.spec().mask_side());
    prompting.selection.iou_threshold = 0.0;
    let segmenter = Segmenter::builder_from(model).prompting(prompting).build().unwrap();
    segmenter.segment(volume, &Quiet).unwrap().mask.into_data()
}

#[test]
fn a_model_predicts_with_each_foreign_part() {
    let volume = toy::volume([24, 20, 3], 0);
    let expected = mask(Model::from_parts(parts()).unwrap(), &volume);
    // The model of the same weights in a file.
    let folder = tempfile::tempdir().unwrap();
    let file = toy::segmenter(&toy::model(folder.path()));
    assert_eq!(file.segment(&volume, &Quiet).unwrap().mask.into_data(), expected);

    let (image, prompt, decoder) = concrete();
    let encoder = Arc::new(ForeignEncoder(image, Calls::default()));
    let with = ModelParts { encoder: encoder.clone(), ..parts() };
    assert_eq!(mask(Model::from_parts(with).unwrap(), &volume), expected);
    assert_eq!(encoder.1.made(), 3);

    let prompts = Arc::new(ForeignPromptEncoder(prompt, Calls::default()));
    let with = ModelParts { prompt_encoder: prompts.clone(), ..parts() };
    assert_eq!(mask(Model::from_parts(with).unwrap(), &volume), expected);
    assert!(prompts.1.made() >= 3);

    // Its prompts are encoded one by one, so that sums may round in another order.
    let decoder = Arc::new(ForeignDecoder(decoder, Calls::default()));
    let with = ModelParts { decoder: decoder.clone(), ..parts() };
    let found = mask(Model::from_parts(with).unwrap(), &volume);
    assert!(decoder.1.made() >= 3);
    let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert!(differ * 50 < found.len(), "{differ} voxels differ");
}

#[test]
fn an_encoder_of_another_specification_is_refused() {
    let vit = VitConfig { input_side: 128, ..VitConfig::tiny() };
    let other = Arc::new(FrozenSam::random(&vit, 9).unwrap().sam.image);
    let refused = Model::from_parts(ModelParts { encoder: other.clone(), ..parts() });
    assert!(matches!(refused, Err(Error::EncoderMismatch { .. })));
    let model = Model::from_parts(parts()).unwrap();
    let refused = Segmenter::builder_from(model.clone()).encoder(other).build();
    assert!(matches!(refused, Err(Error::EncoderMismatch { .. })));
    let refused = Segmenter::builder_from(model).compute(Compute::cpu()).build();
    assert!(refused.is_err());
}
