//! Inert parameters: held by a decoder for the checkpoint's sake, without influence on its outputs.

use crate::{DecoderConfig, SqueezePlacement, Variant};

/// Whether parameter `name` of a decoder so configured cannot influence its masks and IoU, and so never
/// gets a gradient. An optimizer must skip it: weight decay would change it.
pub(crate) fn is_inert(config: &DecoderConfig, name: &str) -> bool {
    let Some(name) = name.strip_prefix("mask_decoder.") else {
        return false;
    };
    if let Some(pimm) = name.strip_prefix("pimm.") {
        return !config.variant.has_pimm() || is_inert_in_pimm(config, pimm);
    }
    // Biases of key projections are not inert here: they cancel in the softmax, but only up to
    // rounding, so they do get a gradient.
    let has = |parts: &[&str]| parts.iter().any(|p| name.starts_with(p));
    match config.variant {
        // Of SAM's mask head, each class needs the hypernetwork of one token.
        Variant::SamDecoder => {
            has(&["output_hypernetworks_"])
                && !(0..config.classes)
                    .any(|token| name.starts_with(&format!("output_hypernetworks_mlps.{token}.")))
        }
        Variant::ClassDecoder => has(&["iou_prediction_head."]),
        Variant::PimmOnly => true,
        Variant::NoIouHead => has(&MASK_HEAD) || has(&IOU_HEAD),
        Variant::Desam | Variant::NoMaskFusion => has(&MASK_HEAD),
    }
}

/// SAM's mask head, which PIMM replaces.
const MASK_HEAD: [&str; 2] = ["output_upscaling.", "output_hypernetworks_mlps."];

/// The IoU head, and the last token-to-image attention: its output feeds the IoU head alone once PIMM
/// replaces SAM's mask head.
const IOU_HEAD: [&str; 3] = [
    "iou_prediction_head.",
    "transformer.final_attn_token_to_image.",
    "transformer.norm_final_attn.",
];

/// In PIMM: squeeze-and-excitation placed after the norm, whose gate is constant; the shortcut
/// convolution of blocks that keep their channels, whose shortcut is the identity; without deep
/// supervision, the auxiliary heads.
fn is_inert_in_pimm(config: &DecoderConfig, name: &str) -> bool {
    let gate = config.squeeze == SqueezePlacement::Official && name.contains(".se.fc.");
    let shortcut = name.contains(".conv3.")
        && (name.contains(".residual_block.") || keeps_channels(config, name));
    let last = config.tap_channels.len().saturating_sub(2);
    let coarser =
        name.strip_prefix("seg_outputs.").is_some_and(|rest| rest != format!("{last}.weight"));
    gate || shortcut || (coarser && !config.deep_supervision)
}

/// Whether `name` is in a context block whose tap already has its level's channels.
fn keeps_channels(config: &DecoderConfig, name: &str) -> bool {
    let depth = name.strip_prefix("conv_blocks_context.").and_then(|rest| {
        let (depth, _) = rest.split_once(".block_init.")?;
        depth.parse::<usize>().ok()
    });
    let Some(depth) = depth.filter(|d| *d < config.tap_channels.len()) else {
        return false;
    };
    // Context block 0 belongs to the deepest tap.
    config.tap_channels.iter().rev().nth(depth) == Some(&config.level_channels(depth))
}
