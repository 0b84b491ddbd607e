//! Decoder configuration: presets, inference from a checkpoint's shapes, validation.

use crate::{Error, Result, Variant};
use desam_core::{EncoderSpec, named};
use desam_nn::params::Tensors;
use serde::{Deserialize, Serialize};

named! {
    /// Placement of squeeze-and-excitation (SE) in a residual block.
    #[derive(Default)]
    pub enum SqueezePlacement: "squeeze" {
        /// After the norm, as in the official program. The SE pools what an affine-free instance norm
        /// has just centred, so every pooled value is 0 and the gate is ½ whatever its weights, which
        /// get no gradient. Computed as `½ x`; the weights are kept for the checkpoint's sake.
        #[default]
        Official = "official",
        /// Before the norm: the SE pools the convolution's output and gates the norm's. The gate takes
        /// effect and its weights learn.
        BeforeNorm = "before-norm" => "before_norm",
    }
}

/// Sizes and variant of a decoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Channels of each tap, in the encoder's depth order.
    pub tap_channels: Vec<usize>,
    /// Channels `E` of the embedding; PIMM halves them at every step up.
    pub embedding_channels: usize,
    /// Blocks of the two-way transformer.
    pub transformer_depth: usize,
    /// Heads of its attentions. No shape in a checkpoint tells them; SAM has 8.
    pub heads: usize,
    /// Hidden width of its perceptrons.
    pub mlp_width: usize,
    /// Channels inside its cross attentions, SAM's `E / 2`.
    pub cross_width: usize,
    /// Mask tokens, hence IoU outputs, SAM's 4.
    pub mask_tokens: usize,
    /// Hidden width of the IoU head.
    pub iou_hidden: usize,
    /// Layers of the IoU head.
    pub iou_depth: usize,
    /// Placement of squeeze-and-excitation.
    #[serde(default)]
    pub squeeze: SqueezePlacement,
    /// The decoder's variant; DeSAM where a stored configuration does not name one.
    #[serde(default)]
    pub variant: Variant,
    /// Classes `L`: outputs of PIMM's heads. Each has an output of the IoU head, which gets more outputs
    /// than mask tokens where there are more classes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub classes: usize,
    /// Deep supervision: whether PIMM's auxiliary heads are computed for the loss, too. Predictions are
    /// the same with and without.
    #[serde(default)]
    pub deep_supervision: bool,
}

fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_one(count: &usize) -> bool {
    *count == 1
}

impl DecoderConfig {
    /// SAM's sizes over an encoder's features (ViT-B, L and H: 256 channels, perceptron 2048).
    pub fn sam(spec: &EncoderSpec) -> Self {
        Self::over(spec, 8)
    }

    /// The `tiny` preset's sizes: the transformer's perceptron is `2 E` wide instead of `8 E`.
    pub fn tiny(spec: &EncoderSpec) -> Self {
        Self::over(spec, 2)
    }

    fn over(spec: &EncoderSpec, mlp_ratio: usize) -> Self {
        let e = spec.embedding_channels;
        Self {
            tap_channels: spec.tap_channels.clone(),
            embedding_channels: e,
            transformer_depth: 2,
            // SAM's constants: 8 heads, cross-attention with half the channels, 4 mask tokens.
            heads: 8,
            mlp_width: mlp_ratio * e,
            cross_width: e / 2,
            mask_tokens: 4,
            iou_hidden: e,
            iou_depth: 3,
            squeeze: SqueezePlacement::Official,
            variant: Variant::Desam,
            classes: 1,
            deep_supervision: false,
        }
    }

    /// Infers the configuration from the parameter shapes of a checkpoint (`mask_decoder.*`). Where it
    /// has no PIMM, like SAM's own, the taps are the encoder's. Variant, placement of
    /// squeeze-and-excitation and deep supervision leave no trace in shapes and get their defaults.
    ///
    /// # Errors
    /// When a parameter every SAM mask decoder has is missing or misshapen.
    pub fn from_tensors(tensors: &Tensors, spec: &EncoderSpec) -> Result<Self> {
        let shapes = Shapes(tensors);
        let taps = shapes.count("pimm.conv_blocks_context.", ".block_init.conv1.conv.weight");
        let mut tap_channels = spec.tap_channels.clone();
        if taps > 0 {
            tap_channels = (0..taps)
                .rev() // context block 0 belongs to the deepest tap
                .map(|d| {
                    let name = format!("pimm.conv_blocks_context.{d}.block_init.conv1.conv.weight");
                    shapes.four(&name).map(|s| s[1])
                })
                .collect::<Result<_>>()?;
        }
        let mut config = Self::sizes_from_tensors(tensors, tap_channels)?;
        if taps > 1 {
            let finest = format!("pimm.seg_outputs.{}.weight", taps - 2);
            [config.classes, ..] = shapes.four(&finest)?;
        }
        config.validate()?;
        Ok(config)
    }

    /// The sizes that [`from_tensors`](Self::from_tensors) infers, for given taps, not validated.
    pub(crate) fn sizes_from_tensors(tensors: &Tensors, tap_channels: Vec<usize>) -> Result<Self> {
        let shapes = Shapes(tensors);
        let [_, e] = shapes.two("iou_token.weight")?;
        let [mask_tokens, _] = shapes.two("mask_tokens.weight")?;
        let [mlp_width, _] = shapes.two("transformer.layers.0.mlp.lin1.weight")?;
        let [cross_width, _] =
            shapes.two("transformer.layers.0.cross_attn_token_to_image.q_proj.weight")?;
        let [iou_hidden, _] = shapes.two("iou_prediction_head.layers.0.weight")?;
        Ok(Self {
            tap_channels,
            embedding_channels: e,
            transformer_depth: shapes.count("transformer.layers.", ".norm1.weight"),
            // Shapes do not reveal the number of heads; every SAM has 8.
            heads: 8,
            mlp_width,
            cross_width,
            mask_tokens,
            iou_hidden,
            iou_depth: shapes.count("iou_prediction_head.layers.", ".weight"),
            squeeze: SqueezePlacement::Official,
            variant: Variant::Desam,
            classes: 1,
            deep_supervision: false,
        })
    }

    /// Checks that a decoder can be built.
    ///
    /// # Errors
    /// Naming the value that does not fit.
    pub fn validate(&self) -> Result<()> {
        let e = self.embedding_channels;
        let taps = self.tap_channels.len();
        let refuse = |what: String| Err(Error::Config(what));
        if self.variant == Variant::ClassDecoder {
            return refuse("variant class-decoder is built by ClassDecoderConfig".into());
        }
        // PIMM has an upsampling step for every tap but one, and the last step has the mask head.
        if !(2..=8).contains(&taps) || self.tap_channels.contains(&0) {
            return refuse(format!("2 to 8 taps with channels, found {:?}", self.tap_channels));
        }
        // PIMM's finest level has E / 2^(taps − 1) channels, and SAM's mask head upsamples to E /
        // 8.
        let finest = 1 << (taps - 1);
        if e == 0 || !e.is_multiple_of(finest) || !e.is_multiple_of(8) {
            return refuse(format!("embedding_channels {e} must be a multiple of 8 and {finest}"));
        }
        self.validate_heads()?;
        if !(1..=desam_core::MAX_CLASSES).contains(&self.classes) {
            let most = desam_core::MAX_CLASSES;
            return refuse(format!("classes must be 1 to {most}, found {}", self.classes));
        }
        if self.variant == Variant::SamDecoder && self.classes > self.mask_tokens {
            let (classes, tokens) = (self.classes, self.mask_tokens);
            return refuse(format!(
                "variant sam-decoder has a mask for each of its {tokens} mask tokens, found {classes} \
                 classes"
            ));
        }
        if self.variant == Variant::SamDecoder && taps != 3 {
            // The number of taps determines the mask's side (`EncoderSpec::mask_side`), 4 G for three;
            // SAM's mask head upsamples 4× by construction.
            return refuse(format!("variant sam-decoder needs an encoder of 3 taps, found {taps}"));
        }
        if self.deep_supervision && !self.variant.has_pimm() {
            let variant = self.variant;
            return refuse(format!("variant {variant} has no PIMM, hence no deep supervision"));
        }
        self.validate_counts()
    }

    /// Checks that heads divide the channels, which are not 0.
    pub(crate) fn validate_heads(&self) -> Result<()> {
        let e = self.embedding_channels;
        // 0 heads divide nothing (E is not 0 here), so this refuses them as well.
        if e.is_multiple_of(self.heads) && self.cross_width.is_multiple_of(self.heads) {
            return Ok(());
        }
        Err(Error::Config(format!(
            "heads {} must divide embedding_channels {e} and cross_width {}",
            self.heads, self.cross_width
        )))
    }

    /// Checks that numbers of layers, tokens and hidden channels are within bounds.
    pub(crate) fn validate_counts(&self) -> Result<()> {
        // The bound keeps sizes that come from a file from requesting absurd amounts of memory.
        let others = [
            ("transformer_depth", self.transformer_depth),
            ("mlp_width", self.mlp_width),
            ("cross_width", self.cross_width),
            ("mask_tokens", self.mask_tokens),
            ("iou_hidden", self.iou_hidden),
            ("iou_depth", self.iou_depth),
        ];
        match others.into_iter().find(|(_, n)| !(1..=1 << 16).contains(n)) {
            Some((name, n)) => Err(Error::Config(format!("{name} must be 1 to 65536, found {n}"))),
            None => Ok(()),
        }
    }

    /// Outputs of the IoU head: one a mask token, and at least one a class.
    pub(crate) fn iou_outputs(&self) -> usize {
        self.mask_tokens.max(self.classes)
    }

    /// The parameters whose shape depends on the number of classes, by name: a checkpoint for another number
    /// does not have them in this shape.
    pub fn class_parameters(&self) -> Vec<String> {
        let heads = 0..self.tap_channels.len().saturating_sub(1);
        let heads = heads.map(|n| format!("mask_decoder.pimm.seg_outputs.{n}.weight"));
        let last = self.iou_depth.saturating_sub(1);
        let iou = ["weight", "bias"]
            .map(|kind| format!("mask_decoder.iou_prediction_head.layers.{last}.{kind}"));
        heads.chain(iou).collect()
    }

    /// The outputs that one of the [`class_parameters`](Self::class_parameters) has, its first dimension.
    pub fn class_outputs(&self, name: &str) -> Option<usize> {
        let name = name.strip_prefix("mask_decoder.")?;
        match () {
            () if name.starts_with("pimm.seg_outputs.") => Some(self.classes),
            () if name.starts_with("iou_prediction_head.") => Some(self.iou_outputs()),
            () => None,
        }
    }

    /// Channels of PIMM's level `depth`, 0 being the coarsest: `E / 2^depth`.
    pub(crate) fn level_channels(&self, depth: usize) -> usize {
        self.embedding_channels >> depth
    }
}

/// Shapes of the mask decoder's parameters.
struct Shapes<'a>(&'a Tensors);

impl Shapes<'_> {
    fn of<const R: usize>(&self, name: &str) -> Result<[usize; R]> {
        let name = format!("mask_decoder.{name}");
        let found = self.0.get(&name).map(|t| t.dims());
        found.and_then(|d| d.try_into().ok()).ok_or_else(|| Error::Unrecognised {
            expected: format!("a tensor of {R} dimensions"),
            found: found.map_or("nothing".into(), |d| format!("{d:?}")),
            name,
        })
    }

    fn two(&self, name: &str) -> Result<[usize; 2]> {
        self.of(name)
    }

    fn four(&self, name: &str) -> Result<[usize; 4]> {
        self.of(name)
    }

    /// Number of parameters `prefix0suffix`, `prefix1suffix`, … without a gap.
    fn count(&self, prefix: &str, suffix: &str) -> usize {
        let there = |i: &usize| self.0.contains_key(&format!("mask_decoder.{prefix}{i}{suffix}"));
        (0..64).take_while(there).count()
    }
}
