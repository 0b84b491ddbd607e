//! LoRA on SAM, as in SAMed: updates in the image encoder, merged and not, decoder and loss.

use super::activations::{Activations, PRECISIONS};
use super::dapsam::{is_loss_or_gradient, losses, one};
use super::gradients::{Found, Prefixes, compare_gradients};
use super::{SubjectFiles, SubjectReport};
use crate::Result;
use crate::parity::compare::Comparison;
use crate::parity::limits::FORWARD;
use crate::parity::reference_vectors::ReferenceVectors;
use crate::parity::report::Stage;
use candle_core::Tensor;
use desam::adapted::{AdaptedOptions, AdaptedSam};
use desam_core::ImageEncoder;
use desam_encoder::adapter::{ForwardHook, LoraConfig};
use desam_encoder::{VitConfig, VitEncoder};
use desam_metrics::loss::softmax_ce_dice;
use desam_nn::gradients::backward;
use desam_nn::params::{LoadOptions, Tensors, load};
use serde::Deserialize;
use std::cell::RefCell;

/// The configuration of the vectors, as far as no shape shows it.
#[derive(Deserialize)]
struct Config {
    /// Heads of the decoder's transformer.
    theads: usize,
}

/// The tensors of the two official files: SAM's, and SAMed's.
struct StateDicts {
    sam: Tensors,
    lora: Tensors,
}

impl StateDicts {
    fn read(file: &ReferenceVectors) -> Result<Self> {
        let (mut sam, mut lora) = (Tensors::new(), Tensors::new());
        for name in file.between("sam.", "") {
            let tensor = file.f32(&format!("sam.{name}"))?;
            if !name.starts_with("image_encoder.") {
                lora.insert(name.to_owned(), tensor.clone());
            }
            sam.insert(name.to_owned(), tensor);
        }
        for name in file.between("w_", "").map(|name| format!("w_{name}")) {
            lora.insert(name.clone(), file.f32(&name)?);
        }
        Ok(Self { sam, lora })
    }
}

pub(super) fn lora(files: &SubjectFiles<'_>) -> Result<SubjectReport> {
    let (file, config) = (&files.vectors, files.config::<Config>()?);
    let dicts = StateDicts::read(file)?;
    let options = AdaptedOptions::default()
        .trainable(true)
        .with_heads(config.theads)
        .with_device(file.device().clone());
    let loaded = AdaptedSam::lora(&dicts.sam, &dicts.lora, &options).map_err(|e| file.wrong(e))?;
    // A slice's one channel, three times.
    let pixels = Tensor::cat(&vec![file.f32("x")?; 3], 1)?;
    let mut report = SubjectReport::default();
    report.stages.push(one("lora", file, "dense_pe", loaded.model.position())?);
    let plain = loaded.model.encoder().vit().encode(&pixels)?.embedding;
    report.stages.push(one("lora", file, "frozen.embedding", &plain)?);
    let merged = merged(file, &dicts)?.encode(&pixels)?.embedding;
    let mut stage = one("lora", file, "f32.embedding", &merged)?;
    stage.name = "lora embedding, merged".into();
    report.stages.push(stage);

    let found = RefCell::new(Activations::default());
    let receive = |name: &str, tensor: &Tensor| {
        found.borrow_mut().insert(name, tensor.detach());
        Ok(())
    };
    let output = loaded.model.forward_hooked(&pixels, ForwardHook::new(&receive))?;
    let mut found = found.into_inner();
    found.insert("embedding", output.embedding);
    found.insert("logits", loaded.model.enlarge(&output.masks.logits)?);
    found.insert("iou", output.masks.iou);
    let labels = file.get("low_res_label")?.to_device(file.device())?;
    let loss = softmax_ce_dice(&output.masks.logits, &labels)?;
    found.insert("low_res_logits", output.masks.logits);
    report.stages.push(qkv(file, &found)?);
    report.stages.extend(
        found.stages("lora", file, |name| is_loss_or_gradient(name) || name.ends_with(".qkv"))?,
    );
    report.stages.push(losses("lora", file, &loss)?);
    let grads = backward(&loss.total)?;
    let found = Found { subject: "lora", vars: &loaded.vars, grads: &grads };
    let prefixes = Prefixes { exact: "f64.grad.", own: "f32.grad." };
    let (gradients, stages) = compare_gradients(&found, file, prefixes)?;
    report.stages.extend(stages);
    report.gradients = gradients;
    Ok(report)
}

/// The image encoder with the updates merged into its weights.
fn merged(file: &ReferenceVectors, dicts: &StateDicts) -> Result<VitEncoder> {
    let vit = VitConfig::from_tensors(&dicts.sam).map_err(|e| file.wrong(e))?;
    let config = LoraConfig::from_tensors(&dicts.lora, &vit).map_err(|e| file.wrong(e))?;
    let options = LoadOptions { device: file.device().clone(), ..LoadOptions::frozen() };
    let adapter = load(dicts.lora.clone(), &options, |vb| config.build(vb))?.module;
    let merged = adapter.merge(&dicts.sam).map_err(|e| file.wrong(e))?;
    let merged = load(merged, &options, |vb| vit.build(vb.pp("image_encoder")))?;
    Ok(merged.module)
}

/// Compares queries, keys and values, which the vectors have window by window.
fn qkv(file: &ReferenceVectors, found: &Activations) -> Result<Stage> {
    let mut compared = Comparison::default();
    for precision in PRECISIONS {
        let prefix = format!("{precision}.");
        for block in file.between(&prefix, ".qkv") {
            let name = format!("{block}.qkv");
            let windows = file.get(&format!("{precision}.{name}"))?;
            match found.get(&name) {
                Some(found) => match unpartition(windows, found.dims()) {
                    Ok(expected) => compared.tensors(found, &expected)?,
                    Err(_) => compared.fail(format!("{name} is {:?}", windows.dims())),
                },
                None => compared.fail(format!("{name} has no counterpart")),
            }
        }
    }
    Ok(compared.relative("lora qkv", FORWARD))
}

/// Windows `[B·W·W, w, w, C]` as a map of the shape `[B, G, G, C]`, their padding dropped.
fn unpartition(windows: &Tensor, map: &[usize]) -> candle_core::Result<Tensor> {
    let (&[images, grid, _, channels], (_, side, _, _)) = (map, windows.dims4()?) else {
        candle_core::bail!("a map of shape {map:?}");
    };
    let along = grid.div_ceil(side.max(1));
    windows
        .reshape(&[images, along, along, side, side, channels][..])?
        .permute([0, 1, 3, 2, 4, 5])?
        .reshape((images, along * side, along * side, channels))?
        .narrow(1, 0, grid)?
        .narrow(2, 0, grid)
}
