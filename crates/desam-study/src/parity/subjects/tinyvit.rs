//! MobileSAM's image encoder: every stage of a TinyViT, one attention alone, the offsets of its biases.

use super::activations::Activations;
use super::dapsam::one;
use super::{SubjectFiles, SubjectReport};
use crate::Result;
use crate::parity::compare::Comparison;
use crate::parity::reference_vectors::ReferenceVectors;
use crate::parity::report::Stage;
use candle_core::Tensor;
use desam_encoder::adapter::ForwardHook;
use desam_encoder::{TinyVitConfig, TinyVitEncoder};
use desam_nn::ops::layout::channels_first;
use desam_nn::ops::rel_pos_bias_attention::offset_indices;
use desam_nn::params::{LoadOptions, Tensors, load};
use serde::Deserialize;
use std::cell::RefCell;

/// The configuration of the vectors, as far as no shape shows it.
#[derive(Deserialize)]
struct Config {
    side: usize,
}

pub(super) fn tinyvit(files: &SubjectFiles<'_>) -> Result<SubjectReport> {
    let (file, config) = (&files.vectors, files.config::<Config>()?);
    let encoder = encoder(file, config.side)?;
    let pixels = file.f32("x")?;
    let found = RefCell::new(Activations::default());
    let receive = |name: &str, tensor: &Tensor| {
        found.borrow_mut().insert(name, official_layout(name, tensor)?);
        Ok(())
    };
    let features = encoder.encode_hooked(&pixels, ForwardHook::new(&receive))?;
    let mut found = found.into_inner();
    found.insert("embedding", features.embedding);
    let mut report = SubjectReport::default();
    report.stages.extend(found.stages("tinyvit", file, |_| false)?);
    report.stages.push(attention(file, &encoder)?);
    report.stages.push(offsets(file)?);
    Ok(report)
}

/// The encoder with the vectors' weights.
fn encoder(file: &ReferenceVectors, side: usize) -> Result<TinyVitEncoder> {
    let mut tensors = Tensors::new();
    for name in file.between("image_encoder.", "") {
        let unused = ["head.", "norm_head."].iter().any(|head| name.starts_with(head));
        if !unused && !name.ends_with(".num_batches_tracked") {
            let name = format!("image_encoder.{name}");
            tensors.insert(name.clone(), file.f32(&name)?);
        }
    }
    let config = TinyVitConfig::from_tensors(&tensors).map_err(|e| file.wrong(e))?;
    let config = TinyVitConfig { input_side: side, ..config };
    let options = LoadOptions { device: file.device().clone(), ..LoadOptions::frozen() };
    let loaded = load(tensors, &options, |vb| config.build(vb.pp("image_encoder")))?;
    loaded.report.check().map_err(|e| file.wrong(e))?;
    Ok(loaded.module)
}

/// A channels-last map as the official program has it: images up to stage 0's blocks, tokens row by row
/// from there on.
fn official_layout(name: &str, map: &Tensor) -> candle_core::Result<Tensor> {
    if name == "patch_embed" || name.starts_with("layers.0.blocks.") {
        channels_first(map)
    } else {
        map.flatten(1, 2)
    }
}

/// The attention of the first block that has one, on windows without padding.
fn attention(file: &ReferenceVectors, encoder: &TinyVitEncoder) -> Result<Stage> {
    let [windows, tokens, width] = file.dims("attention.in")?;
    let side = tokens.isqrt();
    let input = file.f32("attention.in")?.reshape((windows, side, side, width));
    let found = encoder.block_attention(1, 0, &input.map_err(|e| file.wrong(e))?)?;
    one("tinyvit", file, "attention.out", &found)
}

/// The index of the bias of every query and key of a window.
fn offsets(file: &ReferenceVectors) -> Result<Stage> {
    let [tokens, _] = file.dims("attention.bias_idxs")?;
    let found: Vec<f64> = offset_indices(tokens.isqrt()).into_iter().map(f64::from).collect();
    let mut compared = Comparison::default();
    compared.values(&found, &file.numbers("attention.bias_idxs")?);
    Ok(compared.absolute("tinyvit attention.bias_idxs", 0.0))
}
