//! SAM's prompt encoder.

use super::PromptEncoderConfig;
use candle_core::{DType, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use desam_core::{PointLabel, PromptEmbedding, PromptEncoder, Prompts};
use desam_nn::layers::{Conv2d, Conv2dLayerConfig, FourierPosition, LayerNorm2d};
use desam_nn::ops::conv2d::Conv2dConfig;
use desam_nn::ops::pointwise::gelu;

/// SAM's `mask_downscaling`: two 2×2 convolutions with stride 2, each halving the side, then a 1×1
/// convolution.
#[derive(Debug, Clone)]
struct MaskDownscaling {
    halve1: Conv2d,
    norm1: LayerNorm2d,
    halve2: Conv2d,
    norm2: LayerNorm2d,
    widen: Conv2d,
}

impl MaskDownscaling {
    fn new(config: &PromptEncoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (inner, out) = (config.mask_channels, config.embedding_channels);
        let conv =
            |inputs, outputs, window| Conv2dLayerConfig { inputs, outputs, window, bias: true };
        let halves = Conv2dConfig::patches(2);
        Ok(Self {
            halve1: conv(1, inner / 4, halves).build(vb.pp(0))?,
            norm1: LayerNorm2d::new(inner / 4, vb.pp(1))?,
            halve2: conv(inner / 4, inner, halves).build(vb.pp(3))?,
            norm2: LayerNorm2d::new(inner, vb.pp(4))?,
            widen: conv(inner, out, Conv2dConfig::same(1)).build(vb.pp(6))?,
        })
    }

    fn forward(&self, masks: &Tensor) -> Result<Tensor> {
        let x = gelu(&self.norm1.forward(&self.halve1.forward(masks)?)?)?;
        let x = gelu(&self.norm2.forward(&self.halve2.forward(&x)?)?)?;
        self.widen.forward(&x)
    }
}

/// Kind of a sparse token.
#[derive(Debug, Clone, Copy)]
enum Token {
    Point(PointLabel),
    /// The box's upper left corner.
    UpperLeft,
    /// The box's lower right corner.
    LowerRight,
}

/// SAM's prompt encoder, frozen.
#[derive(Debug, Clone)]
pub struct SamPromptEncoder {
    config: PromptEncoderConfig,
    position: FourierPosition,
    /// Learned embeddings, `[5, E]`: background, foreground, upper left corner, lower right corner,
    /// padding (SAM's `not_a_point_embed`).
    labels: Tensor,
    /// Learned dense embedding of a prompt without a mask, `[1, E, 1, 1]`.
    no_mask: Tensor,
    mask: MaskDownscaling,
    dense_pe: Tensor,
}

impl SamPromptEncoder {
    pub(super) fn new(config: &PromptEncoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate().map_err(candle_core::Error::wrap)?;
        let channels = config.embedding_channels;
        // PyTorch's default for an `nn.Embedding`.
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let vector = |vb: VarBuilder<'_>| vb.get_with_hints((1, channels), "weight", normal);
        // The order of SAM's `point_embeddings`; `label_row` relies on it.
        let points = (0..4).map(|i| vector(vb.pp("point_embeddings").pp(i)));
        let mut labels = points.collect::<Result<Vec<_>>>()?;
        labels.push(vector(vb.pp("not_a_point_embed"))?);
        let position = FourierPosition::new(channels, vb.pp("pe_layer"))?;
        let no_mask = vector(vb.pp("no_mask_embed"))?;
        Ok(Self {
            dense_pe: position.grid(config.grid, vb.device())?,
            labels: Tensor::cat(&labels, 0)?,
            no_mask: no_mask.reshape((1, channels, 1, 1))?,
            mask: MaskDownscaling::new(config, vb.pp("mask_downscaling"))?,
            config: config.clone(),
            position,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &PromptEncoderConfig {
        &self.config
    }

    /// Sparse tokens `[N, T, E]`: the points, a padding point where there are points and no box, and two
    /// corners of a box.
    fn sparse(&self, prompts: &Prompts) -> Result<Tensor> {
        let (n, channels) = (prompts.len(), self.config.embedding_channels);
        let device = self.labels.device();
        // SAM's rule: `pad=(boxes is None)`.
        let pad = prompts.points_each() > 0 && !prompts.has_boxes();
        let tokens =
            prompts.points_each() + usize::from(pad) + 2 * usize::from(prompts.has_boxes());
        if tokens == 0 {
            return Tensor::zeros((n, 0, channels), DType::F32, device);
        }
        let mut coordinates: Vec<f32> = Vec::with_capacity(2 * n * tokens);
        let mut kinds: Vec<Token> = Vec::with_capacity(n * tokens);
        let mut put = |x: f32, y: f32, kind: Token| {
            // To the pixel's centre (SAM's `+ 0.5`), then to a fraction of the input side.
            coordinates.extend([x, y].map(|v| (v + 0.5) / self.config.input_side as f32));
            kinds.push(kind);
        };
        for prompt in prompts.as_slice() {
            for p in &prompt.points {
                put(p.x, p.y, Token::Point(p.label));
            }
            if pad {
                // SAM's padding point; its coordinates have no effect, see below.
                put(0.0, 0.0, Token::Point(PointLabel::Padding));
            }
            if let Some(b) = prompt.bbox {
                put(b.x0, b.y0, Token::UpperLeft);
                put(b.x1, b.y1, Token::LowerRight);
            }
        }
        let rows: Vec<u32> = kinds.iter().map(|k| label_row(*k)).collect();
        // A padding point has no position: its positional encoding is multiplied by 0, which leaves
        // its learned embedding.
        let positioned = |k: &Token| !matches!(k, Token::Point(PointLabel::Padding));
        let positioned: Vec<f32> =
            kinds.iter().map(|k| f32::from(u8::from(positioned(k)))).collect();
        let count = kinds.len();
        let labels = self.labels.index_select(&Tensor::from_vec(rows, count, device)?, 0)?;
        let coordinates = Tensor::from_vec(coordinates, (count, 2), device)?;
        self.position
            .encode(&coordinates)?
            .broadcast_mul(&Tensor::from_vec(positioned, (count, 1), device)?)?
            .add(&labels)?
            .reshape((n, tokens, channels))
    }

    /// Dense embedding `[N, E, G, G]`; without masks a broadcast view of one vector, which later steps
    /// recognise by its strides.
    fn dense(&self, prompts: &Prompts) -> Result<Tensor> {
        let (n, grid, side) = (prompts.len(), self.config.grid, self.config.mask_side());
        match prompts.mask_prompts() {
            None => self.no_mask.broadcast_as((n, self.config.embedding_channels, grid, grid)),
            Some(masks) if masks.dims() == [n, 1, side, side] => {
                // The masks may be on another device than the parameters.
                self.mask.forward(&masks.to_device(self.labels.device())?)
            }
            Some(masks) => bail!(
                "prompt encoder: expected mask prompts [{n}, 1, {side}, {side}], found {:?}",
                masks.dims()
            ),
        }
    }
}

/// The row of [`SamPromptEncoder::labels`] that a token's label has.
fn label_row(token: Token) -> u32 {
    match token {
        Token::Point(PointLabel::Background) => 0,
        Token::Point(PointLabel::Foreground) => 1,
        Token::UpperLeft => 2,
        Token::LowerRight => 3,
        Token::Point(PointLabel::Padding) => 4,
    }
}

impl PromptEncoder for SamPromptEncoder {
    fn encode(&self, prompts: &Prompts) -> Result<PromptEmbedding> {
        Ok(PromptEmbedding { sparse: self.sparse(prompts)?, dense: self.dense(prompts)? })
    }

    fn dense_pe(&self) -> &Tensor {
        &self.dense_pe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, IndexOp};
    use desam_core::{Point, Prompt, PromptBox};
    use desam_nn::params::{LoadOptions, Missing, load};

    fn encoder() -> SamPromptEncoder {
        let config = PromptEncoderConfig {
            embedding_channels: 8,
            grid: 4,
            input_side: 64,
            mask_channels: 8,
        };
        let options =
            LoadOptions { missing: Missing::Initialise { seed: 5 }, ..LoadOptions::frozen() };
        load(Default::default(), &options, |vb| config.build(vb)).unwrap().module
    }

    fn flat(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn tokens_are_points_then_padding_or_corners() {
        let e = encoder();
        let point = Point::foreground(3.0, 7.0);
        let bbox = PromptBox { x0: 1.0, y0: 2.0, x1: 30.0, y1: 40.0 };
        let tokens = |p: Prompt| {
            let out = e.encode(&Prompts::new(vec![p]).unwrap()).unwrap();
            assert_eq!(out.dense.dims(), &[1, 8, 4, 4]);
            out.sparse
        };
        let with_padding = tokens(Prompt::point(point));
        assert_eq!(with_padding.dims(), &[1, 2, 8]);
        assert_eq!(flat(&with_padding.i((0, 1)).unwrap()), flat(&e.labels.i(4).unwrap()));
        assert_eq!(tokens(Prompt::boxed(bbox)).dims(), &[1, 2, 8]);
        let both = tokens(Prompt { points: vec![point, point], bbox: Some(bbox) });
        assert_eq!(both.dims(), &[1, 4, 8]);
        assert_eq!(flat(&both.i((0, 0)).unwrap()), flat(&with_padding.i((0, 0)).unwrap()));
        assert_eq!(tokens(Prompt::default()).dims(), &[1, 0, 8]);
    }

    #[test]
    fn a_padding_point_has_no_position() {
        let e = encoder();
        let at = |x, y| Prompt::point(Point { x, y, label: PointLabel::Padding });
        let out = e.encode(&Prompts::new(vec![at(1.0, 2.0), at(50.0, 9.0)]).unwrap()).unwrap();
        assert_eq!(flat(&out.sparse.i(0).unwrap()), flat(&out.sparse.i(1).unwrap()));
    }

    #[test]
    fn masks_of_another_side_are_refused_and_the_right_side_is_named() {
        let e = encoder();
        let masks = |side| Tensor::zeros((2, 1, side, side), DType::F32, &Device::Cpu).unwrap();
        let out = e.encode(&Prompts::masks(masks(16)).unwrap()).unwrap();
        assert_eq!((out.dense.dims(), out.sparse.dims()), (&[2, 8, 4, 4][..], &[2, 0, 8][..]));
        let error = e.encode(&Prompts::masks(masks(8)).unwrap()).unwrap_err().to_string();
        assert!(error.contains("[2, 1, 16, 16]"), "{error}");
    }

    #[test]
    fn sizes_that_cannot_exist_are_refused() {
        let good = encoder().config().clone();
        for bad in [
            PromptEncoderConfig { embedding_channels: 7, ..good.clone() },
            PromptEncoderConfig { mask_channels: 6, ..good.clone() },
            PromptEncoderConfig { grid: 0, ..good.clone() },
        ] {
            assert!(bad.validate().is_err());
        }
        good.validate().unwrap();
    }
}
