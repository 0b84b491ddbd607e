//! Key layouts of SAM checkpoints, and their translation to the official names.

use crate::{Error, Result};
use desam_core::named;
use desam_nn::params::Tensors;
use std::path::Path;

named! {
    /// Key layout of a checkpoint: how its parameters are named.
    pub enum KeyLayout: "key layout" {
        /// The layout of segment-anything and the official DeSAM: `image_encoder.blocks.0…`.
        Original = "original",
        /// The layout of Hugging Face's transformers: `vision_encoder.layers.0…`.
        Transformers = "transformers",
    }
}

const GAUSSIAN: &str = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix";

/// A loaded tensor, with its key in the file and its name without prefixes.
#[derive(Debug)]
pub(super) struct LoadedTensor {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) tensor: candle_core::Tensor,
}

/// Detects the layout of names without prefixes.
pub(super) fn detect<'a>(mut names: impl Iterator<Item = &'a str>) -> KeyLayout {
    // Names that SAM's own layout does not have, in the image encoder and outside of it.
    let of_transformers = |name: &str| {
        name.starts_with("vision_encoder.") || name.starts_with("shared_image_embedding.")
    };
    if names.any(of_transformers) { KeyLayout::Transformers } else { KeyLayout::Original }
}

/// Renames every tensor to its official name. Names without a rule are kept, for the loader to report
/// as unexpected.
pub(super) fn to_official(
    path: &Path,
    layout: KeyLayout,
    read: Vec<LoadedTensor>,
) -> Result<Tensors> {
    let names: Vec<String> = read.iter().map(|r| r.name.clone()).collect();
    let mut out = Tensors::new();
    let mut origin = std::collections::BTreeMap::new();
    for LoadedTensor { key, name, tensor } in read {
        let name = match layout {
            KeyLayout::Original => name,
            KeyLayout::Transformers => translate(&name, &names),
        };
        // transformers ties the positional matrix and may save it under both of its names.
        if let (Some(other), Some(first)) = (out.get(&name), origin.get(&name)) {
            if !equal(other, &tensor)? {
                let (path, first) = (path.to_owned(), String::clone(first));
                return Err(Error::Conflict { path, first, second: key });
            }
            continue;
        }
        origin.insert(name.clone(), key);
        out.insert(name, tensor);
    }
    Ok(out)
}

fn equal(a: &candle_core::Tensor, b: &candle_core::Tensor) -> Result<bool> {
    if a.dims() != b.dims() {
        return Ok(false);
    }
    // By bits: values that are NaN in both are no conflict.
    let bits = |t: &candle_core::Tensor| -> Result<Vec<f32>> { Ok(t.flatten_all()?.to_vec1()?) };
    let same = bits(a)?.iter().zip(&bits(b)?).all(|(x, y)| x.to_bits() == y.to_bits());
    Ok(same)
}

/// The official name for a transformers name; `all` are all names of the checkpoint.
fn translate(name: &str, all: &[String]) -> String {
    if let Some(rest) = name.strip_prefix("vision_encoder.") {
        return format!("image_encoder.{}", image_encoder(rest));
    }
    if let Some(rest) = name.strip_prefix("prompt_encoder.") {
        return prompt_encoder(rest);
    }
    if let Some(rest) = name.strip_prefix("mask_decoder.") {
        return format!("mask_decoder.{}", mask_decoder(rest, all));
    }
    match name {
        "shared_image_embedding.positional_embedding" => GAUSSIAN.to_owned(),
        other => other.to_owned(),
    }
}

/// Applies the first rule whose left side is a prefix of `name`.
fn replace(name: &str, rules: &[(&str, &str)]) -> String {
    let found = rules.iter().find_map(|(from, to)| Some((to, name.strip_prefix(from)?)));
    found.map_or_else(|| name.to_owned(), |(to, rest)| format!("{to}{rest}"))
}

fn image_encoder(name: &str) -> String {
    let rules = [
        ("patch_embed.projection.", "patch_embed.proj."),
        ("neck.conv1.", "neck.0."),
        ("neck.layer_norm1.", "neck.1."),
        ("neck.conv2.", "neck.2."),
        ("neck.layer_norm2.", "neck.3."),
    ];
    let Some((block, rest)) = name.strip_prefix("layers.").and_then(|n| n.split_once('.')) else {
        return replace(name, &rules);
    };
    let rest = replace(rest, &[("layer_norm1.", "norm1."), ("layer_norm2.", "norm2.")]);
    format!("blocks.{block}.{rest}")
}

fn prompt_encoder(name: &str) -> String {
    if name == "shared_embedding.positional_embedding" {
        return GAUSSIAN.to_owned();
    }
    let rules = [
        ("point_embed.", "point_embeddings."),
        // Indices 2 and 5 of the official sequence are GELUs, which have no parameters.
        ("mask_embed.conv1.", "mask_downscaling.0."),
        ("mask_embed.layer_norm1.", "mask_downscaling.1."),
        ("mask_embed.conv2.", "mask_downscaling.3."),
        ("mask_embed.layer_norm2.", "mask_downscaling.4."),
        ("mask_embed.conv3.", "mask_downscaling.6."),
    ];
    format!("prompt_encoder.{}", replace(name, &rules))
}

fn mask_decoder(name: &str, all: &[String]) -> String {
    let rules = [
        ("upscale_conv1.", "output_upscaling.0."),
        ("upscale_layer_norm.", "output_upscaling.1."),
        ("upscale_conv2.", "output_upscaling.3."),
        ("transformer.layer_norm_final_attn.", "transformer.norm_final_attn."),
    ];
    if let Some((layer, rest)) =
        name.strip_prefix("transformer.layers.").and_then(|n| n.split_once('.'))
    {
        return format!("transformer.layers.{layer}.{}", replace(rest, &[("layer_norm", "norm")]));
    }
    // Heads are `iou_prediction_head` and `output_hypernetworks_mlps.i`.
    let head = ["iou_prediction_head.", "output_hypernetworks_mlps."].iter().find_map(|head| {
        let rest = name.strip_prefix(head)?;
        let at = ["proj_in.", "layers.", "proj_out."].iter().find_map(|part| rest.find(part))?;
        Some(name.split_at(head.len() + at))
    });
    match head {
        Some((head, layer)) => format!("{head}{}", head_layer(head, layer, all)),
        None => replace(name, &rules),
    }
}

/// `proj_in`, `layers.i`, `proj_out` of a head → `layers.0`, `layers.i+1`, the last.
fn head_layer(head: &str, layer: &str, all: &[String]) -> String {
    if let Some(rest) = layer.strip_prefix("proj_in.") {
        return format!("layers.0.{rest}");
    }
    if let Some((i, rest)) = layer.strip_prefix("layers.").and_then(|n| n.split_once('.')) {
        return match i.parse::<usize>() {
            // Saturating, because the number comes from a file.
            Ok(i) => format!("layers.{}.{rest}", i.saturating_add(1)),
            Err(_) => layer.to_owned(),
        };
    }
    if let Some(rest) = layer.strip_prefix("proj_out.") {
        // The official index of the last layer depends on the head's depth, which the name does not
        // tell.
        let hidden = format!("mask_decoder.{head}layers.");
        let hidden = all.iter().filter(|n| n.starts_with(&hidden) && n.ends_with(".weight"));
        return format!("layers.{}.{rest}", hidden.count() + 1);
    }
    layer.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn one(value: f32) -> Tensor {
        Tensor::new(&[value], &Device::Cpu).unwrap()
    }

    fn read(name: &str, value: f32) -> LoadedTensor {
        LoadedTensor { key: name.to_owned(), name: name.to_owned(), tensor: one(value) }
    }

    fn official(names: &[&str]) -> Vec<String> {
        let layout = detect(names.iter().copied());
        let tensors = names.iter().map(|name| read(name, 1.0)).collect();
        to_official(Path::new("x"), layout, tensors).unwrap().into_keys().collect()
    }

    #[test]
    fn the_original_layout_keeps_its_names() {
        let names = official(&["image_encoder.neck.0.weight", "mask_decoder.pimm.a.weight"]);
        assert_eq!(names, ["image_encoder.neck.0.weight", "mask_decoder.pimm.a.weight"]);
    }

    #[test]
    fn heads_are_numbered_by_how_many_layers_they_have() {
        let head = "mask_decoder.iou_prediction_head";
        let names = official(&[
            "vision_encoder.pos_embed",
            &format!("{head}.proj_in.weight"),
            &format!("{head}.layers.0.weight"),
            &format!("{head}.layers.1.weight"),
            &format!("{head}.proj_out.weight"),
            "mask_decoder.output_hypernetworks_mlps.2.proj_out.bias",
        ]);
        let layers: Vec<_> = (0..4).map(|i| format!("{head}.layers.{i}.weight")).collect();
        assert_eq!(names[1..5], layers);
        assert_eq!(names[5], "mask_decoder.output_hypernetworks_mlps.2.layers.1.bias");
    }

    #[test]
    fn tied_keys_must_agree() {
        let with = |second: f32| {
            let tensors = vec![
                read("shared_image_embedding.positional_embedding", 1.0),
                read("prompt_encoder.shared_embedding.positional_embedding", second),
            ];
            to_official(Path::new("x"), KeyLayout::Transformers, tensors)
        };
        assert_eq!(with(1.0).unwrap().into_keys().collect::<Vec<_>>(), [GAUSSIAN]);
        assert!(with(2.0).unwrap_err().to_string().contains("different values"));
    }
}
