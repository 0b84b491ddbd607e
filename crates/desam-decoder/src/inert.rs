//! Parameters that a decoder holds and does not use.

use crate::{DecoderConfig, SqueezePlacement, Variant};

/// Whether parameter `name` of a decoder so configured cannot influence a prediction, and so never
/// gets a gradient.
pub(crate) fn is_inert(config: &DecoderConfig, name: &str) -> bool {
    let Some(name) = name.strip_prefix("mask_decoder.") else {
        return false;
    };
    if let Some(pimm) = name.strip_prefix("pimm.") {
        return !config.variant.has_pimm() || is_inert_in_pimm(config, pimm);
    }
    // SAM's mask head, which PIMM replaces; of the hypernetworks SAM's own decoder needs the first.
    let hypernetwork = name.strip_prefix("output_hypernetworks_mlps.");
    match config.variant {
        Variant::SamDecoder => hypernetwork.is_some_and(|rest| !rest.starts_with("0.")),
        _ => hypernetwork.is_some() || name.starts_with("output_upscaling."),
    }
}

/// In PIMM: the squeeze-excitation where it stands behind the norm; the shortcut convolution of
/// blocks that keep their channels; deep-supervision heads but the last.
fn is_inert_in_pimm(config: &DecoderConfig, name: &str) -> bool {
    let gate = config.squeeze == SqueezePlacement::Official && name.contains(".se.fc.");
    let shortcut = name.contains(".conv3.")
        && (name.contains(".residual_block.") || keeps_channels(config, name));
    let last = config.tap_channels.len().saturating_sub(2);
    let supervision =
        name.strip_prefix("seg_outputs.").is_some_and(|rest| rest != format!("{last}.weight"));
    gate || shortcut || supervision
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
