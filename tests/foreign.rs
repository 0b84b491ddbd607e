//! Every replaceable part from outside the workspace, through public API alone: an image encoder, a
//! prompt encoder, a mask decoder, a prompt sampler, a loss and a data set are trained with, evaluated
//! and predict. (A foreign volume reader: `foreign_reader`.)

use crate::support::phantoms;
use desam::candle::{DType, Device, Result as TensorResult, Tensor, Var};
use desam::data::cache::{CachedSlice, CachedSlices, EncoderRecord, FeatureCache, FeatureDtype};
use desam::data::embed::{EmbedOptions, embed};
use desam::data::layout::discover;
use desam::data::preprocess::PreprocessConfig;
use desam::model::{ModelInput, ModelParts, ModelRecord};
use desam::predict::SlicePredictor;
use desam::types::{
    ClassMask, Dataset, EncoderSpec, Error as CoreError, ImageContext, ImageEncoder, ImageFeatures,
    Loss, LossTarget, LossTerm, LossValue, MaskDecoder, MaskPrediction, Point, Prompt,
    PromptEmbedding, PromptEncoder, PromptOutput, PromptSampler, Prompts, SampledPrompt,
};
use desam::{Compute, Mode, Model, PromptingConfig, Quiet, Segmenter};
use desam_study::evaluate::{EvaluateConfig, Protocol, TrainedOn, evaluate_with};
use desam_study::train::{Preset, TrainConfig, TrainableParts, Trainer};
use rand::RngCore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Channels of the embedding.
const E: usize = 4;
/// Side of the feature grid, and of the mask logits: one tap, so nothing is upsampled.
const G: usize = 32;

/// Powers of the mean intensity of each patch.
struct Intensities(EncoderSpec);

impl ImageEncoder for Intensities {
    fn spec(&self) -> &EncoderSpec {
        &self.0
    }

    fn encode(&self, pixels: &Tensor) -> TensorResult<ImageFeatures> {
        let mean = pixels.mean_keepdim(1)?.avg_pool2d(self.0.patch)?.tanh()?;
        let square = mean.sqr()?;
        let embedding = Tensor::cat(&[&mean, &square, &(&square * &mean)?, &mean.ones_like()?], 1)?;
        Ok(ImageFeatures { taps: vec![mean], embedding })
    }
}

/// One token per prompt, its coordinates; every pixel's position is 0.
struct Coordinates(Tensor);

impl PromptEncoder for Coordinates {
    fn encode(&self, prompts: &Prompts) -> TensorResult<PromptEmbedding> {
        let token = |p: &Prompt| {
            let corner = p.bbox.map_or([0.0; 2], |b| [b.x1, b.y1]);
            let point = p.points.first().map_or(corner, |p| [p.x, p.y]);
            [point[0], point[1], 0.0, 1.0]
        };
        let tokens: Vec<f32> = prompts.as_slice().iter().flat_map(token).collect();
        let n = prompts.len();
        let sparse = Tensor::from_vec(tokens, (n, 1, E), &Device::Cpu)?;
        let dense = Tensor::zeros((n, E, G, G), DType::F32, &Device::Cpu)?;
        Ok(PromptEmbedding { sparse, dense })
    }

    fn dense_pe(&self) -> &Tensor {
        &self.0
    }
}

/// Logistic regression on the embedding of each pixel; a constant IoU.
struct Regression {
    weight: Var,
    iou: Var,
    decoded: AtomicUsize,
}

impl MaskDecoder for Regression {
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> TensorResult<ImageContext> {
        let (embedding, position) = (features.embedding.clone(), position.clone());
        Ok(ImageContext { embedding, position, levels: Vec::new() })
    }

    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> TensorResult<PromptOutput> {
        let n = prompts.sparse.dim(0)?;
        Ok(PromptOutput {
            iou_all: self.iou.broadcast_as((n, 1))?,
            mask_tokens: Tensor::zeros((n, 1, E), DType::F32, &Device::Cpu)?,
            mask_embedding: context.embedding.broadcast_as((n, E, G, G))?,
        })
    }

    fn decode_masks(&self, _: &ImageContext, output: &PromptOutput) -> TensorResult<Tensor> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        output.mask_embedding.broadcast_mul(&self.weight)?.sum_keepdim(1)
    }
}

/// The middle of the image, whatever the mask.
struct Middle;

impl PromptSampler for Middle {
    fn sample(
        &self,
        _: &ClassMask,
        input_side: usize,
        _: &mut dyn RngCore,
    ) -> Result<SampledPrompt, CoreError> {
        let middle = input_side as f32 / 2.0;
        let prompt = Prompt::point(Point::foreground(middle, middle));
        Ok(SampledPrompt { prompt, iou_targets: Vec::new() })
    }
}

/// Mean squared error of the probabilities; foreground pixels, which are few, count more.
struct SquaredError;

impl Loss for SquaredError {
    fn forward(&self, prediction: &MaskPrediction, target: &LossTarget) -> TensorResult<LossValue> {
        let probability = ((prediction.logits.neg()?.exp()? + 1.0)?).recip()?;
        let weight = ((&target.mask * 30.0)? + 1.0)?;
        let total = ((probability - &target.mask)?.sqr()? * weight)?.mean_all()?;
        let term = LossTerm { name: "dice", weight: 1.0, value: total.clone() };
        Ok(LossValue { total, terms: vec![term] })
    }
}

/// Slices in memory.
struct InMemory(Vec<CachedSlice>);

impl Dataset for InMemory {
    type Item = CachedSlice;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Result<CachedSlice, CoreError> {
        Ok(self.0[index].clone())
    }
}

fn in_memory(cache: &Arc<FeatureCache>, cases: &[usize]) -> InMemory {
    let slices = CachedSlices::new(Arc::clone(cache), cases, &Device::Cpu).unwrap();
    InMemory((0..slices.len()).map(|i| slices.get(i).unwrap()).collect())
}

#[test]
fn foreign_parts_are_trained_with_evaluated_and_predict() {
    let root = tempfile::tempdir().unwrap();
    let data = phantoms(root.path(), 2);
    let spec =
        EncoderSpec { input_side: 128, patch: 4, tap_channels: vec![1], embedding_channels: E };
    assert_eq!((spec.grid(), spec.mask_side()), (G, G));

    // Embed with the foreign image encoder.
    let encoder = Arc::new(Intensities(spec.clone()));
    let identity = EncoderRecord::new("intensities", "intensities-1");
    let preprocess = PreprocessConfig::paper();
    let options = EmbedOptions::new(
        root.path().join("cache"),
        &data,
        discover(&data).unwrap(),
        identity.clone(),
    )
    .with_preprocess(preprocess.clone())
    .with_dtype(FeatureDtype::F32);
    embed(&options, encoder.as_ref(), &Device::Cpu, &Quiet).unwrap();
    let cache = Arc::new(FeatureCache::open(&options.dir).unwrap());
    let sites = cache.sites();
    let (source, cases) = (sites[0].to_owned(), cache.site_cases(sites[0]));

    // Train the foreign decoder with a foreign prompt encoder, sampler, loss and data set.
    let zeros = |shape: &[usize]| Var::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let decoder = Arc::new(Regression {
        weight: zeros(&[1, E, 1, 1]),
        iou: zeros(&[1, 1]),
        decoded: AtomicUsize::new(0),
    });
    let prompt_encoder =
        Arc::new(Coordinates(Tensor::zeros((1, E, G, G), DType::F32, &Device::Cpu).unwrap()));
    let vars = BTreeMap::from([
        ("weight".to_owned(), decoder.weight.clone()),
        ("iou".to_owned(), decoder.iou.clone()),
    ]);
    let parts = TrainableParts {
        prompt_encoder: prompt_encoder.as_ref(),
        decoder: decoder.as_ref(),
        vars: &vars,
        spec: &spec,
        device: &Device::Cpu,
    };
    let mut config = TrainConfig::preset(Preset::Paper, source.as_str(), Mode::Points);
    config.learning_rate = 0.3;
    config.epochs = 12;
    let (held_out, training) = cases.split_first().unwrap();
    let (training, validation) = (in_memory(&cache, training), in_memory(&cache, &[*held_out]));
    let mut trainer = Trainer::new(parts, &config)
        .unwrap()
        .with_sampler(Box::new(Middle))
        .with_loss(Box::new(SquaredError));
    let history = trainer.fit(&training, &validation, &Quiet, |_| Ok(())).unwrap();
    let [first, .., last] = history.as_slice() else { panic!("{history:?}") };
    assert!(last.train_loss < 0.8 * first.train_loss, "{first:?} {last:?}");
    // A variable without a gradient is left as it is.
    assert_eq!(decoder.iou.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0]);

    // Evaluate.
    let mut prompting = PromptingConfig::new(Mode::Points, 3, spec.mask_side());
    prompting.selection.iou_threshold = -1.0;
    let evaluated = decoder.decoded.load(Ordering::Relaxed);
    let predictor = SlicePredictor::new(prompt_encoder.as_ref(), decoder.as_ref(), &spec);
    let predict = |features: &ImageFeatures| Ok(predictor.predict(features, &prompting)?.mask);
    let source = TrainedOn { sites: source.clone().into(), validation: &[] };
    let settings = EvaluateConfig::new(Protocol::Paper, prompting.clone());
    let scores = evaluate_with(&cache, source, &settings, &predict, &Quiet).unwrap();
    assert!(scores.overall_dice.is_some_and(|dice| dice > 0.0), "{scores:?}");
    assert!(decoder.decoded.load(Ordering::Relaxed) > evaluated);

    // Predict a volume.
    let input = ModelInput { spec, preprocess };
    let record = ModelRecord::untrained(identity.name, identity.weights_blake3, input);
    let model = Model::from_parts(ModelParts {
        encoder,
        prompt_encoder,
        decoder,
        record: Arc::new(record),
        compute: Compute::cpu(),
    })
    .unwrap();
    let segmenter = Segmenter::builder_from(model).prompting(prompting).build().unwrap();
    let case = discover(&data).unwrap().remove(0);
    let volume = desam::volume::volumes::load_volume(&case.image, &Default::default()).unwrap();
    let found = segmenter.segment(&volume.value, &Quiet).unwrap();
    assert_eq!(found.mask.grid(), volume.value.grid());
    assert!(found.mask.data().iter().any(|v| *v > 0));
}
