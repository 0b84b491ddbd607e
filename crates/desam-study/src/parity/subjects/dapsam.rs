//! DAPSAM: adapters in the image encoder, prompt generator, decoder, loss and training.

use super::activations::Activations;
use super::gradients::{Found, Prefixes, compare_gradients};
use super::training::{Training, compare_training};
use super::{SubjectFiles, SubjectReport};
use crate::Result;
use crate::parity::compare::{self, Comparison};
use crate::parity::limits::{FORWARD, LOSS};
use crate::parity::losses::scalar;
use crate::parity::reference_vectors::ReferenceVectors;
use crate::parity::report::Stage;
use crate::train::WarmupPoly;
use candle_core::{DType, Tensor};
use desam::adapted::{AdaptedOptions, AdaptedSam, LoadedAdaptedSam};
use desam_encoder::VitConfig;
use desam_encoder::adapter::{DapsamAxes, ForwardHook};
use desam_metrics::loss::{CeDice, sigmoid_ce_dice};
use desam_nn::gradients::backward;
use desam_nn::params::Tensors;
use serde::Deserialize;
use std::cell::RefCell;

/// Limit of interpolated tables: four products and sums of f32.
const INTERPOLATED: f64 = 1e-6;

/// The configuration of the vectors, as far as no shape shows it.
#[derive(Deserialize)]
struct Config {
    /// Heads of the decoder's transformer.
    theads: usize,
    #[serde(default)]
    trainable: Vec<String>,
    #[serde(default)]
    base_lr: f64,
    #[serde(default)]
    warmup_period: u32,
    #[serde(default)]
    max_iterations: u32,
    /// Batch of each step, `0,1,0`.
    #[serde(default)]
    batches: String,
}

/// A batch of slices and masks.
struct Batch {
    pixels: Tensor,
    masks: Tensor,
}

impl Batch {
    fn read(file: &ReferenceVectors, index: usize) -> Result<Self> {
        Ok(Self {
            // A slice's one channel, three times.
            pixels: Tensor::cat(&vec![file.f32(&format!("x{index}"))?; 3], 1)?,
            masks: file.f32(&format!("y{index}"))?,
        })
    }
}

/// The initial model of the vectors of `dapsam`, trainable.
fn model(file: &ReferenceVectors, axes: DapsamAxes, heads: usize) -> Result<LoadedAdaptedSam> {
    let mut tensors = Tensors::new();
    for name in file.between("init.", "") {
        tensors.insert(name.to_owned(), file.f32(&format!("init.{name}"))?);
    }
    let options = AdaptedOptions::default()
        .with_axes(axes)
        .trainable(true)
        .with_heads(heads)
        .with_device(file.device().clone());
    AdaptedSam::dapsam(&tensors, &options).map_err(|e| file.wrong(e))
}

/// The official program's variant.
pub(super) fn dapsam(files: &SubjectFiles<'_>) -> Result<SubjectReport> {
    let (file, config) = (&files.vectors, files.config::<Config>()?);
    let mut loaded = model(file, DapsamAxes::Official, config.theads)?;
    let mut report = SubjectReport::default();
    report.stages.push(interpolation(file, &loaded)?);
    report.stages.push(trainable(&loaded, &config.trainable));
    let mut compared = Comparison::default();
    compared.tensors(loaded.model.position(), file.get("dense_pe")?)?;
    report.stages.push(compared.relative("dapsam dense_pe", FORWARD));

    let batch = Batch::read(file, 0)?;
    let (activations, loss) = forward(&loaded.model, &batch)?;
    report.stages.extend(activations.stages("dapsam", file, is_loss_or_gradient)?);
    report.stages.push(losses("dapsam", file, &loss)?);
    let grads = backward(&loss.total)?;
    let found = Found { subject: "dapsam", vars: &loaded.vars, grads: &grads };
    let prefixes = Prefixes { exact: "f64.grad.", own: "f32.grad." };
    let (gradients, stages) = compare_gradients(&found, file, prefixes)?;
    (report.gradients, report.stages) =
        (gradients, report.stages.into_iter().chain(stages).collect());

    let batches = config.batches.split(',').map(|b| b.trim().parse::<usize>());
    let batches = batches.collect::<Result<Vec<_>, _>>();
    let batches = batches.map_err(|e| file.wrong(format!("batches {}: {e}", config.batches)))?;
    let training = Training {
        subject: "dapsam",
        schedule: WarmupPoly {
            base: config.base_lr,
            warmup: config.warmup_period,
            steps: config.max_iterations,
            power: 0.9,
        },
        batches: &batches,
    };
    // The model and its variables share their parameters, which the steps change.
    let vars = std::mem::take(&mut loaded.vars);
    let model = loaded.model;
    let stages = compare_training(&training, file, &vars, |index| {
        let batch = Batch::read(file, index)?;
        Ok(sigmoid_ce_dice(&model.logits(&batch.pixels)?, &batch.masks)?)
    })?;
    report.stages.extend(stages);
    Ok(report)
}

/// The paper's variant, with the weights and first batch of `dapsam`; the reference is not official.
pub(super) fn intended(files: &SubjectFiles<'_>) -> Result<SubjectReport> {
    let (file, config) = (&files.vectors, files.config::<Config>()?);
    let Some(weights) = files.folder.vectors("dapsam.safetensors")? else {
        return Err(file.wrong("needs dapsam.safetensors, which has its weights"));
    };
    let loaded = model(&weights, DapsamAxes::Intended, config.theads)?;
    let (found, loss) = forward(&loaded.model, &Batch::read(&weights, 0)?)?;
    let mut report = SubjectReport::default();
    for name in ["block0.out", "embedding", "logits"] {
        let mut compared = Comparison::default();
        match found.get(name) {
            Some(found) => compared.tensors(found, file.get(name)?)?,
            None => compared.fail("was not computed"),
        }
        report.stages.push(compared.relative(format!("dapsam_intended {name}"), FORWARD));
    }
    let mut compared = Comparison::default();
    compared.values(&[scalar(&loss.total)?], &file.numbers("loss")?);
    report.stages.push(compared.relative("dapsam_intended loss", LOSS));
    // The file has the adapters' gradients only.
    let vars = loaded.vars.iter().filter(|(name, _)| name.starts_with("image_encoder."));
    let vars = vars.map(|(name, var)| (name.clone(), var.clone())).collect();
    let grads = backward(&loss.total)?;
    let found = Found { subject: "dapsam_intended", vars: &vars, grads: &grads };
    let prefixes = Prefixes { exact: "grad.", own: "f32.grad." };
    let (gradients, stages) = compare_gradients(&found, file, prefixes)?;
    report.stages.extend(stages);
    report.gradients = gradients;
    Ok(report)
}

/// The forward pass: intermediate results under the names and in the shapes of the vectors, and the loss.
fn forward(model: &AdaptedSam, batch: &Batch) -> Result<(Activations, CeDice)> {
    let found = RefCell::new(Activations::default());
    let receive = |name: &str, tensor: &Tensor| {
        let tensor = match name {
            "low_level_feature" => tensor.permute((0, 3, 1, 2))?,
            _ if name.ends_with(".input_adapter") => tensor.flatten(1, 2)?,
            _ => tensor.clone(),
        };
        found.borrow_mut().insert(name, tensor.detach());
        Ok(())
    };
    let output = model.forward_hooked(&batch.pixels, ForwardHook::new(&receive))?;
    let mut found = found.into_inner();
    let logits = model.enlarge(&output.masks.logits)?;
    found.insert("embedding", output.embedding);
    if let Some(prompt) = output.prompt {
        found.insert("prototype", prompt.prototype);
        found.insert("memory_output", prompt.memory);
        found.insert("cosine", prompt.similarity);
        found.insert("prompt", prompt.dense);
    }
    found.insert("low_res_logits", output.masks.logits);
    found.insert("iou", output.masks.iou);
    let loss = sigmoid_ce_dice(&logits, &batch.masks)?;
    found.insert("logits", logits);
    Ok((found, loss))
}

/// Vectors that are no intermediate results.
pub(super) fn is_loss_or_gradient(name: &str) -> bool {
    ["loss", "loss_ce", "loss_dice"].contains(&name) || name.starts_with("grad.")
}

/// Compares the loss and its terms with both precisions.
pub(super) fn losses(subject: &str, file: &ReferenceVectors, loss: &CeDice) -> Result<Stage> {
    let mut compared = Comparison::default();
    for precision in ["f32", "f64"] {
        for (name, found) in
            [("loss", &loss.total), ("loss_ce", &loss.ce), ("loss_dice", &loss.dice)]
        {
            let expected = file.numbers(&format!("{precision}.{name}"))?;
            compared.values(&[scalar(found)?], &expected);
        }
    }
    Ok(compared.relative(format!("{subject} loss, cross-entropy, dice"), LOSS))
}

/// Compares the position tables that are resized from a larger SAM's, at loading.
fn interpolation(file: &ReferenceVectors, loaded: &LoadedAdaptedSam) -> Result<Stage> {
    let mut larger = Tensors::new();
    for name in file.between("pretrained.image_encoder.", "") {
        let tensor = file.f32(&format!("pretrained.image_encoder.{name}"))?.to_dtype(DType::F32)?;
        larger.insert(format!("image_encoder.{name}"), tensor);
    }
    let small = VitConfig::from_tensors(&loaded.tensors).map_err(|e| file.wrong(e))?;
    let [_, grid, ..] = file.dims::<4>("pretrained.image_encoder.pos_embed")?;
    let config = VitConfig { input_side: grid * small.patch, ..small.clone() };
    let resized = config.resize_positions(&larger, small.input_side);
    let resized = resized.map_err(|e| file.wrong(format!("pretrained: {e}")))?;
    let mut compared = Comparison::default();
    for (name, table) in &resized.tensors {
        match loaded.tensors.get(name) {
            Some(expected) => compared.tensors(table, expected)?,
            None => compared.fail(format!("{name} is not in init")),
        }
    }
    Ok(compared.relative("dapsam position tables, resized", INTERPOLATED))
}

/// Compares the names of the variables with those that the official optimizer holds.
fn trainable(loaded: &LoadedAdaptedSam, expected: &[String]) -> Stage {
    let mut compared = Comparison::default();
    let is_odd = |name: &&String| loaded.vars.contains_key(*name) != expected.contains(name);
    let odd = loaded.vars.keys().chain(expected).find(is_odd);
    compared.values(&[loaded.vars.len() as f64], &[expected.len() as f64]);
    if let Some(name) = odd {
        compared.fail(format!("{name} is trained in one of them only"));
    }
    compared.absolute("dapsam trained parameters", 0.0)
}

/// Compares one tensor under its own name.
pub(super) fn one(
    subject: &str,
    file: &ReferenceVectors,
    name: &str,
    found: &Tensor,
) -> Result<Stage> {
    let mut compared = Comparison::default();
    compared.values(&compare::numbers(found)?, &file.numbers(name)?);
    Ok(compared.relative(format!("{subject} {name}"), FORWARD))
}
