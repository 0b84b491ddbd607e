//! Parameters that official checkpoints hold and DeSAM does not use.

use crate::DecoderConfig;
use candle_core::Result;
use candle_nn::VarBuilder;
use desam_nn::layers::{ConvTranspose2x2, LayerNorm2d, Mlp};

/// SAM's own mask head: upscaling and hypernetworks. Kept so that a checkpoint of ours loads into
/// the official modules and theirs loads here with nothing left over.
#[derive(Debug, Clone)]
pub(crate) struct SamMaskHead {
    _upscaling: (ConvTranspose2x2, LayerNorm2d, ConvTranspose2x2),
    _hypernetworks: Vec<Mlp>,
}

impl SamMaskHead {
    pub(crate) fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let e = config.embedding_channels;
        let up = vb.pp("output_upscaling");
        let mlps = vb.pp("output_hypernetworks_mlps");
        Ok(Self {
            _upscaling: (
                ConvTranspose2x2::with_bias((e, e / 4), up.pp(0))?,
                LayerNorm2d::new(e / 4, up.pp(1))?,
                ConvTranspose2x2::with_bias((e / 4, e / 8), up.pp(3))?,
            ),
            _hypernetworks: (0..config.mask_tokens)
                .map(|i| Mlp::new(&[e, e, e, e / 8], mlps.pp(i)))
                .collect::<Result<_>>()?,
        })
    }
}

/// Whether parameter `name` of a decoder so configured cannot influence a prediction, and so never
/// gets a gradient: SAM's mask head; the squeeze-excitation where it stands behind the norm; the
/// shortcut convolution of blocks that keep their channels; deep-supervision heads but the last.
pub(crate) fn is_inert(config: &DecoderConfig, name: &str) -> bool {
    let Some(name) = name.strip_prefix("mask_decoder.") else {
        return false;
    };
    let head = name.starts_with("output_upscaling.") || name.starts_with("output_hypernetworks_");
    let gate = config.squeeze == crate::SqueezePlacement::Official && name.contains(".se.fc.");
    let shortcut = name.contains(".conv3.")
        && (name.contains(".residual_block.") || keeps_channels(config, name));
    let last = config.tap_channels.len().saturating_sub(2);
    let supervision =
        name.strip_prefix("pimm.seg_outputs.").is_some_and(|rest| rest != format!("{last}.weight"));
    head || gate || shortcut || supervision
}

/// Whether `name` is in a context block whose tap already has its level's channels.
fn keeps_channels(config: &DecoderConfig, name: &str) -> bool {
    let depth = name.strip_prefix("pimm.conv_blocks_context.").and_then(|rest| {
        let (depth, _) = rest.split_once(".block_init.")?;
        depth.parse::<usize>().ok()
    });
    let Some(depth) = depth.filter(|d| *d < config.tap_channels.len()) else {
        return false;
    };
    // Context block 0 belongs to the deepest tap.
    config.tap_channels.iter().rev().nth(depth) == Some(&config.level_channels(depth))
}
