//! Built-in weights: a `tiny` SAM, trained on generated scenes.
//!
//! It is a whole SAM (image encoder, prompt encoder, mask decoder) of [`VitConfig::tiny`]'s size.
//! It was trained with prompts, as SAM was, on images of textured shapes without meaning;
//! `weights/README.md` documents the training and its evaluation. It is for demonstrations and tests,
//! and no substitute for SAM.
//!
//! [`VitConfig::tiny`]: crate::VitConfig::tiny

use crate::{Checkpoint, Error, Result};
use std::path::Path;

/// f16 under official names.
const TINY: &[u8] = include_bytes!("../weights/tiny.safetensors");

/// blake3 of [`TINY`].
const TINY_BLAKE3: &str = "b151090b8e117146e16b8edfb8a93df9449fbc92baf620d20529fe67da13dff2";

/// The built-in `tiny` SAM: `image_encoder.*`, `prompt_encoder.*` and `mask_decoder.*` as f32, with
/// the recipe of its training in the metadata.
///
/// # Errors
/// When the bytes in the program do not have the expected hash.
pub fn tiny() -> Result<Checkpoint> {
    checked(TINY)
}

fn checked(bytes: &[u8]) -> Result<Checkpoint> {
    // A damaged source tree would otherwise compile, and change every result computed with `tiny`.
    let found = blake3::hash(bytes).to_hex();
    if found.as_str() != TINY_BLAKE3 {
        let found = found.to_string();
        return Err(Error::Builtin { name: "tiny", expected: TINY_BLAKE3, found });
    }
    Checkpoint::from_safetensors(Path::new("tiny (built in)"), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrozenSam, SamOptions, VitConfig};

    #[test]
    fn a_changed_byte_or_a_cut_is_refused() {
        for at in [0, 9, TINY.len() / 2, TINY.len() - 1] {
            let mut bytes = TINY.to_vec();
            bytes[at] ^= 1;
            let error = checked(&bytes).unwrap_err();
            assert!(matches!(error, Error::Builtin { .. }), "byte {at}: {error}");
            assert!(error.to_string().contains(TINY_BLAKE3));
        }
        assert!(checked(&TINY[..TINY.len() - 2]).is_err());
    }

    #[test]
    fn it_is_small_and_a_whole_sam_of_the_tiny_size() {
        assert!(TINY.len() <= 6_000_000, "{}", TINY.len());
        let file = tiny().unwrap();
        assert_eq!(VitConfig::from_tensors(&file.tensors).unwrap(), VitConfig::tiny());
        let loaded = FrozenSam::load(&file, &SamOptions::default()).unwrap();
        loaded.report.check().unwrap();
        // The tensors of neither encoder are SAM's mask decoder.
        let decoder = file.part("mask_decoder.");
        assert_eq!(loaded.tensors.len() + decoder.len(), file.tensors.len());
        for part in ["transformer.", "iou_token.", "mask_tokens.", "iou_prediction_head."] {
            let prefix = format!("mask_decoder.{part}");
            assert!(decoder.keys().any(|k| k.starts_with(&prefix)), "{part}");
        }
        for part in ["output_upscaling.", "output_hypernetworks_mlps."] {
            let prefix = format!("mask_decoder.{part}");
            assert!(decoder.keys().any(|k| k.starts_with(&prefix)), "{part}");
        }
        for key in ["recipe", "step", "held_out", "data", "license", "made_by"] {
            assert!(!file.metadata[key].is_empty(), "{key}");
        }
    }

    #[test]
    fn the_weights_differ_from_their_initialisation() {
        let file = tiny().unwrap();
        let seed = 0; // the recipe's
        assert!(file.metadata["recipe"].starts_with("seed=0 "));
        let random = FrozenSam::random(&VitConfig::tiny(), seed).unwrap().tensors;
        let name = "image_encoder.blocks.0.attn.qkv.weight";
        let change = (&file.tensors[name] - &random[name]).unwrap().sqr().unwrap();
        let change = change.mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        assert!(change > 0.01, "{change}");
        // The random frequencies of positions are not trained: equal but for f16's rounding.
        let name = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix";
        let change = (&file.tensors[name] - &random[name]).unwrap().abs().unwrap();
        assert!(change.max_all().unwrap().to_scalar::<f32>().unwrap() < 2e-3);
    }
}
