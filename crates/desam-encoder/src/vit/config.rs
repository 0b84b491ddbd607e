//! ViT configuration: presets, validation, and inference from a checkpoint's shapes.

use super::{VitEncoder, init};
use crate::shapes::{check_input_side, count_blocks, dims, is_tiny_vit};
use crate::{Error, Result};
use candle_nn::VarBuilder;
use desam_core::{EncoderSpec, Precision};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;

/// Configuration of SAM's image encoder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Side `S` of the square input, pixels; the position tables have its size.
    pub input_side: usize,
    /// Side of a patch, pixels.
    pub patch: usize,
    /// Channels `C` of a token, hence of a tap.
    pub width: usize,
    /// Number of transformer blocks.
    pub depth: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Hidden channels of a block's perceptron.
    pub mlp_width: usize,
    /// Side of an attention window, tokens.
    pub window: usize,
    /// Indices of the blocks with global attention, from 0, ascending.
    pub global_blocks: Vec<usize>,
    /// Channels `E` of the neck's output.
    pub embedding_channels: usize,
}

impl VitConfig {
    /// Names that [`VitConfig::preset`] knows.
    pub const PRESETS: [&'static str; 4] = ["tiny", "vit-b", "vit-l", "vit-h"];

    /// ViT-B, SAM's smallest, 90 M parameters.
    pub fn vit_b() -> Self {
        Self::sam(768, 12, 12, [2, 5, 8, 11])
    }

    /// ViT-L, 308 M parameters.
    pub fn vit_l() -> Self {
        Self::sam(1024, 24, 16, [5, 11, 17, 23])
    }

    /// ViT-H, SAM's largest, 637 M parameters; the paper's.
    pub fn vit_h() -> Self {
        Self::sam(1280, 32, 16, [7, 15, 23, 31])
    }

    /// A small encoder for demonstrations and tests, with 256-pixel input. [`builtin::tiny`] has weights
    /// of this size.
    ///
    /// [`builtin::tiny`]: crate::builtin::tiny
    pub fn tiny() -> Self {
        Self {
            input_side: 256,
            window: 7,
            embedding_channels: 64,
            ..Self::sam(96, 8, 4, [1, 3, 5, 7])
        }
    }

    fn sam(width: usize, depth: usize, heads: usize, global_blocks: [usize; 4]) -> Self {
        Self {
            input_side: 1024,
            patch: 16,
            width,
            depth,
            heads,
            mlp_width: 4 * width,
            window: 14,
            global_blocks: global_blocks.to_vec(),
            embedding_channels: 256,
        }
    }

    /// A preset by name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn preset(name: &str) -> Result<Self> {
        match name {
            "tiny" => Ok(Self::tiny()),
            "vit-b" => Ok(Self::vit_b()),
            "vit-l" => Ok(Self::vit_l()),
            "vit-h" => Ok(Self::vit_h()),
            _ => Err(Error::Preset { name: name.to_owned(), known: Self::PRESETS.join(", ") }),
        }
    }

    /// Checks that an encoder can be built.
    ///
    /// # Errors
    /// When a size is zero or not a multiple of what it must be, or a global block is out of order.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("input_side", self.input_side),
            ("patch", self.patch),
            ("width", self.width),
            ("depth", self.depth),
            ("heads", self.heads),
            ("mlp_width", self.mlp_width),
            ("window", self.window),
            ("embedding_channels", self.embedding_channels),
        ];
        let refuse = |problem: String| Err(Error::Config(problem));
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return refuse(format!("{name} is 0"));
        }
        if !self.width.is_multiple_of(self.heads) {
            return refuse(format!(
                "width {} is not a multiple of heads {}",
                self.width, self.heads
            ));
        }
        self.check_side(self.input_side)?;
        let rising = self.global_blocks.windows(2).all(|w| w[0] < w[1]);
        match self.global_blocks.last() {
            Some(&last) if rising && last < self.depth => Ok(()),
            _ => refuse(format!(
                "global_blocks {:?}: expected at least one block below depth {}, in rising order",
                self.global_blocks, self.depth
            )),
        }
    }

    /// Checks that images of side `side` can be divided into patches.
    pub(crate) fn check_side(&self, side: usize) -> Result<()> {
        check_input_side(side, self.patch)
    }

    /// Side `G` of the feature grid.
    pub fn grid(&self) -> usize {
        self.input_side / self.patch
    }

    /// Input and output sizes: one tap after every global block but the last.
    pub fn spec(&self) -> EncoderSpec {
        EncoderSpec {
            input_side: self.input_side,
            patch: self.patch,
            tap_channels: vec![self.width; self.global_blocks.len().saturating_sub(1)],
            embedding_channels: self.embedding_channels,
        }
    }

    /// Builds the encoder in f32 with parameters from `vb`, which is at `image_encoder`.
    ///
    /// # Errors
    /// When the configuration is not valid, or a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<VitEncoder> {
        self.build_in(vb, Precision::F32)
    }

    /// [`build`](Self::build) with the matrix multiplications in another precision; such an encoder
    /// cannot be trained.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_in(
        &self,
        vb: VarBuilder<'_>,
        precision: Precision,
    ) -> candle_core::Result<VitEncoder> {
        let vb = init::with_measured_init(vb);
        match precision {
            Precision::F32 => VitEncoder::new(self, vb),
            Precision::Bf16 => VitEncoder::new(self, init::cast_weights(vb, precision.dtype())),
        }
    }

    /// Names (below `image_encoder.`) and shapes of all parameters, by a dry run of the constructor that
    /// allocates nothing.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn parameter_shapes(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        init::record_shapes(|vb| self.build(vb))
    }

    /// Number of parameters.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn parameter_count(&self) -> Result<usize> {
        let shapes = self.parameter_shapes()?;
        Ok(shapes.values().map(|dims| dims.iter().product::<usize>()).sum())
    }

    /// Infers the configuration from a checkpoint's shapes, under official names.
    ///
    /// A block is global when its relative position tables span the whole grid (`2 G - 1`), and
    /// windowed otherwise (`2 window - 1`). Where a window is as large as the grid the two are the same
    /// computation and every block counts as global.
    ///
    /// # Errors
    /// When a parameter that determines a size is missing or contradicts the others, or the image encoder
    /// is a [`TinyViT`](crate::TinyVitConfig).
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        if is_tiny_vit(tensors) {
            let found = "the image encoder is a TinyViT, as in MobileSAM; expected SAM's ViT-B, ViT-L or \
                         ViT-H (adapters are for those): give one of their checkpoints";
            return Err(Error::Config(found.into()));
        }
        let at = |name: &str| format!("image_encoder.{name}");
        let patch_name = at("patch_embed.proj.weight");
        let [width, _, patch, _] = dims::<4>(tensors, &patch_name)?;
        let [_, grid, _, _] = dims::<4>(tensors, &at("pos_embed"))?;
        let [embedding_channels, ..] = dims::<4>(tensors, &at("neck.0.weight"))?;
        let depth = count_blocks(tensors, &at("blocks."));
        let mut global_blocks = Vec::new();
        // From here on the sizes of attention: its tables are the only parameters that show heads,
        // windows and global blocks.
        let mut window = None;
        let mut per_head = None;
        for i in 0..depth {
            // Grids and windows are square, so `rel_pos_w` is as long.
            let name = at(&format!("blocks.{i}.attn.rel_pos_h"));
            let [length, channels] = dims::<2>(tensors, &name)?;
            if *per_head.get_or_insert(channels) != channels || !width.is_multiple_of(channels) {
                let problem = format!("has {channels} channels, which do not divide width {width}");
                return Err(Error::shapes(name, problem));
            }
            if length == 2 * grid - 1 {
                global_blocks.push(i);
            } else if *window.get_or_insert(length) != length {
                let problem = format!(
                    "has {length} entries; expected {} (global) or as many as other windows",
                    2 * grid - 1
                );
                return Err(Error::shapes(name, problem));
            }
        }
        // Every block has this table, so there are no blocks without it.
        let Some(channels) = per_head else {
            return Err(Error::shapes(at("blocks.0.attn.rel_pos_h"), "is missing"));
        };
        let [mlp_width, _] = dims::<2>(tensors, &at("blocks.0.mlp.lin1.weight"))?;
        let config = Self {
            input_side: grid * patch,
            patch,
            width,
            depth,
            // Channels a head, from the position tables, determine the number of heads.
            heads: width / channels,
            mlp_width,
            // A table has 2 window − 1 entries. Without windowed blocks any window would do.
            window: window.map_or(grid, |length| length.div_ceil(2)),
            global_blocks,
            embedding_channels,
        };
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counted layer by layer from SAM's `image_encoder.py`, not from our constructor.
    fn by_formula(v: &VitConfig) -> usize {
        let (c, m, e) = (v.width, v.mlp_width, v.embedding_channels);
        let grid = v.input_side / v.patch;
        let embed = 3 * v.patch * v.patch * c + c + grid * grid * c;
        let norms = 4 * c;
        let attention = 3 * c * c + 3 * c + c * c + c;
        let mlp = c * m + m + m * c + c;
        let tables = |side: usize| 2 * (2 * side - 1) * c / v.heads;
        let global = v.global_blocks.len();
        let positions = global * tables(grid) + (v.depth - global) * tables(v.window);
        let neck = c * e + 9 * e * e + 4 * e;
        embed + v.depth * (norms + attention + mlp) + positions + neck
    }

    #[test]
    fn presets_are_valid_and_have_the_known_numbers_of_parameters() {
        // SAM's image encoders: 90, 308 and 637 million parameters.
        for (name, millions) in [("vit-b", 90), ("vit-l", 308), ("vit-h", 637)] {
            let config = VitConfig::preset(name).unwrap();
            config.validate().unwrap();
            let count = config.parameter_count().unwrap();
            assert_eq!(count, by_formula(&config), "{name}");
            assert_eq!((count + 500_000) / 1_000_000, millions, "{name}: {count}");
        }
        let tiny = VitConfig::tiny();
        assert_eq!(tiny.parameter_count().unwrap(), by_formula(&tiny));
        assert!(VitConfig::preset("vit-x").unwrap_err().to_string().contains("vit-b"));
    }

    #[test]
    fn spec_has_a_tap_for_every_global_block_but_the_last() {
        let spec = VitConfig::vit_h().spec();
        assert_eq!(spec.tap_channels, [1280; 3]); // official DeSAM: three taps of 1280×64×64
        assert_eq!((spec.grid(), spec.mask_side()), (64, 256));
    }

    #[test]
    fn what_cannot_exist_is_refused() {
        let tiny = VitConfig::tiny;
        for bad in [
            VitConfig { heads: 5, ..tiny() },
            VitConfig { window: 0, ..tiny() },
            VitConfig { input_side: 250, ..tiny() },
            VitConfig { global_blocks: vec![], ..tiny() },
            VitConfig { global_blocks: vec![3, 1], ..tiny() },
            VitConfig { global_blocks: vec![8], ..tiny() },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
            assert!(bad.parameter_shapes().is_err(), "{bad:?}");
        }
        let side = VitConfig { input_side: 250, ..tiny() }.validate().unwrap_err();
        assert!(side.to_string().contains("256 would be"), "{side}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let mut json = serde_json::to_value(VitConfig::tiny()).unwrap();
        assert_eq!(serde_json::from_value::<VitConfig>(json.clone()).unwrap(), VitConfig::tiny());
        json["mlp_ratio"] = 4.into();
        assert!(serde_json::from_value::<VitConfig>(json).is_err());
    }
}
