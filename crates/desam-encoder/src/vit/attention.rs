//! Window attention and global attention with relative positions, decomposed by axis.

use super::init::POSITION;
use super::resample;
use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Epilogue, LayerNorm, Linear, SumAndNorm};
use desam_nn::ops::rel_pos_attention::{RelPosAttention, rel_pos_attention};

/// Sizes of an [`Attention`].
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionConfig {
    /// Channels in and out.
    pub(super) width: usize,
    /// Heads.
    pub(super) heads: usize,
    /// Side of the window or grid that the checkpoint's relative position tables are for, tokens.
    pub(super) side: usize,
}

/// SAM's `Attention`: `qkv`, `proj`, `rel_pos_h`, `rel_pos_w`.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    qkv: Linear,
    qkv_bias: Tensor,
    proj: Linear,
    heads: usize,
    rel_pos_h: Tensor,
    rel_pos_w: Tensor,
    /// Both relative position tables, resampled to the current side, `[2, 2 side - 1, D]`, in the
    /// queries' type: the scores get `q · position`.
    positions: Tensor,
}

fn positions(tables: [&Tensor; 2], side: usize, dtype: DType) -> Result<Tensor> {
    let table = |t: &Tensor| resample::table(t, 2 * side - 1);
    let [rows, columns] = tables;
    Tensor::stack(&[table(rows)?, table(columns)?], 0)?.to_dtype(dtype)
}

impl Attention {
    pub(super) fn new(config: AttentionConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let AttentionConfig { width, heads, side } = config;
        // One entry for each distance between two tokens of an axis, −(side − 1) to side − 1.
        let table = (2 * side - 1, width / heads);
        let rel_pos_h = vb.get_with_hints(table, "rel_pos_h", POSITION)?;
        let rel_pos_w = vb.get_with_hints(table, "rel_pos_w", POSITION)?;
        // One fused projection for q, k and v, its bias kept apart for the attention to add.
        let qkv = Linear::without_bias(width, 3 * width, vb.pp("qkv"))?;
        Ok(Self {
            qkv_bias: vb.pp("qkv").get(3 * width, "bias")?,
            proj: Linear::new(width, width, vb.pp("proj"))?,
            heads,
            // Resampled once here, not in every forward pass.
            positions: positions([&rel_pos_h, &rel_pos_w], side, qkv.dtype())?,
            qkv,
            rel_pos_h,
            rel_pos_w,
        })
    }

    /// The same attention for another side of the window or grid, the position tables resampled.
    pub(super) fn with_side(&self, side: usize) -> Result<Self> {
        let tables = [&self.rel_pos_h, &self.rel_pos_w];
        let positions = positions(tables, side, self.compute_dtype())?;
        Ok(Self { positions, ..self.clone() })
    }

    /// Type of the inputs of its matrix multiplications.
    pub(super) fn compute_dtype(&self) -> DType {
        self.qkv.dtype()
    }

    /// Attention over `x [B, G, G, C]` within each window, with the residual `to [B, G, G, C]` added;
    /// and `norm` of the sum. The bias of q, k and v is added inside the attention: a window's padding
    /// is zero before the projection, so its keys and values are the bias, and no multiplication is
    /// spent on it.
    pub(super) fn forward_with_sum(
        &self,
        x: &Tensor,
        to: &Tensor,
        norm: &LayerNorm,
    ) -> Result<SumAndNorm> {
        self.attend_with_sum(&self.qkv(x)?, to, norm)
    }

    /// Queries, keys and values of `x [B, G, G, C]` without their bias, `[B, G, G, 3C]`.
    pub(super) fn qkv(&self, x: &Tensor) -> Result<Tensor> {
        self.qkv.forward(x)
    }

    /// The bias that attention adds to [`qkv`](Self::qkv), `[3C]`.
    pub(super) fn qkv_bias(&self) -> &Tensor {
        &self.qkv_bias
    }

    /// [`forward_with_sum`](Self::forward_with_sum) of queries, keys and values `[B, G, G, 3C]` without
    /// their bias.
    pub(super) fn attend_with_sum(
        &self,
        qkv: &Tensor,
        to: &Tensor,
        norm: &LayerNorm,
    ) -> Result<SumAndNorm> {
        let attention =
            RelPosAttention { bias: &self.qkv_bias, positions: &self.positions, heads: self.heads };
        let y = rel_pos_attention(qkv, attention)?;
        let epilogue = Epilogue::add_norm(to, norm.parameters());
        let epilogue = Epilogue { dtype: Some(y.dtype()), ..epilogue };
        self.proj.forward_with_sum(&y, epilogue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::IndexOp;
    use desam_nn::params::{LoadOptions, Missing, load};

    const CONFIG: AttentionConfig = AttentionConfig { width: 6, heads: 2, side: 3 };

    fn attention() -> Attention {
        let options =
            LoadOptions { missing: Missing::Initialise { seed: 1 }, ..LoadOptions::frozen() };
        load(Default::default(), &options, |vb| Attention::new(CONFIG, vb)).unwrap().module
    }

    #[test]
    fn another_side_resamples_the_tables_and_the_same_side_does_not() {
        let a = attention();
        let same = a.with_side(3).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&same.positions), flat(&a.positions));
        let larger = a.with_side(5).unwrap();
        assert_eq!(larger.positions.dims(), &[2, 9, 3]);
        // 5 entries become 9 (F.interpolate, align_corners = false): entry 0 samples at
        // (0.5)·5/9 - 0.5 < 0, hence the first vector; it belongs to query 0 and the last key.
        let first = a.rel_pos_h.i(0).unwrap();
        assert_eq!(flat(&larger.positions.i((0, 0)).unwrap()), flat(&first));
    }
}
