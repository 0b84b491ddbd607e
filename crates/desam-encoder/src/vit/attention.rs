//! Self-attention over a square of tokens with relative positions split by axis.

use super::init::POSITION;
use super::resample;
use candle_core::{D, Device, IndexOp, Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::Linear;
use desam_nn::ops::softmax::softmax;

/// Scores held at once: 2²⁵ f32 are 128 MiB, two heads of a 64×64 grid. Beyond one head the size
/// of a chunk no longer changes the speed, below it the memory.
const SCORES_AT_ONCE: usize = 1 << 25;

/// Sizes of an [`Attention`].
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionConfig {
    /// Channels in and out.
    pub(super) width: usize,
    /// Heads.
    pub(super) heads: usize,
    /// Side of the square of tokens that the position tables in the checkpoint are for.
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
    positions: Positions,
}

/// What the scores need to know about positions, for one side of the square.
#[derive(Debug, Clone)]
struct Positions {
    side: usize,
    /// `[side, D, side]`: for a query's row, and each key's row, the vector that q meets.
    rows: Tensor,
    /// `[side, D, side]`: the same for columns.
    columns: Tensor,
    /// `[side², 2 side]`: which row and which column a key stands in, ones and zeros.
    membership: Tensor,
}

impl Positions {
    fn new(rel_pos_h: &Tensor, rel_pos_w: &Tensor, side: usize) -> Result<Self> {
        let device = rel_pos_h.device();
        Ok(Self {
            side,
            rows: by_query(rel_pos_h, side)?,
            columns: by_query(rel_pos_w, side)?,
            membership: membership(side, device)?,
        })
    }
}

/// A table `[L, D]` of vectors by distance → `[query, D, key]`.
fn by_query(table: &Tensor, side: usize) -> Result<Tensor> {
    let table = resample::table(table, 2 * side - 1)?;
    let index = |i: usize| (i / side + side - 1 - i % side) as u32;
    let index: Vec<u32> = (0..side * side).map(index).collect();
    let index = Tensor::from_vec(index, side * side, table.device())?;
    let vectors = table.contiguous()?.index_select(&index, 0)?;
    vectors.reshape((side, side, ()))?.transpose(1, 2)?.contiguous()
}

fn membership(side: usize, device: &Device) -> Result<Tensor> {
    let mut ones = vec![0f32; side * side * 2 * side];
    for (token, row) in ones.chunks_exact_mut(2 * side).enumerate() {
        let (rows, columns) = row.split_at_mut(side);
        rows[token / side] = 1.0;
        columns[token % side] = 1.0;
    }
    Tensor::from_vec(ones, (side * side, 2 * side), device)
}

impl Attention {
    pub(super) fn new(config: AttentionConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let AttentionConfig { width, heads, side } = config;
        let table = (2 * side - 1, width / heads);
        let rel_pos_h = vb.get_with_hints(table, "rel_pos_h", POSITION)?;
        let rel_pos_w = vb.get_with_hints(table, "rel_pos_w", POSITION)?;
        Ok(Self {
            qkv: Linear::without_bias(width, 3 * width, vb.pp("qkv"))?,
            qkv_bias: vb.pp("qkv").get(3 * width, "bias")?,
            proj: Linear::new(width, width, vb.pp("proj"))?,
            heads,
            positions: Positions::new(&rel_pos_h, &rel_pos_w, side)?,
            rel_pos_h,
            rel_pos_w,
        })
    }

    /// The same for another side of the square, the position tables resampled.
    pub(super) fn with_side(&self, side: usize) -> Result<Self> {
        let positions = Positions::new(&self.rel_pos_h, &self.rel_pos_w, side)?;
        Ok(Self { positions, ..self.clone() })
    }

    /// Side of the square.
    pub(super) fn side(&self) -> usize {
        self.positions.side
    }

    /// q, k and v without their bias: `x [.., C]` → `[.., 3C]`. The bias comes in
    /// [`Attention::mix`], so that windows are padded with what SAM's padding becomes: the bias
    /// alone, and the product is not taken over padding.
    pub(super) fn project_in(&self, x: &Tensor) -> Result<Tensor> {
        self.qkv.forward(x)
    }

    /// The output map, `[.., C]` → `[.., C]`.
    pub(super) fn project_out(&self, x: &Tensor) -> Result<Tensor> {
        self.proj.forward(x)
    }

    /// Attention inside each of `n` squares: `qkv [n, side², 3C]` without bias → `[n, side², C]`.
    pub(super) fn mix(&self, qkv: &Tensor) -> Result<Tensor> {
        let (n, tokens, triple) = qkv.dims3()?;
        let width = triple / 3;
        let per_head = width / self.heads;
        let qkv = qkv
            .broadcast_add(&self.qkv_bias)?
            .reshape((n, tokens, 3, self.heads, per_head))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?
            .reshape((3, n * self.heads, tokens, per_head))?;
        let (q, k, v) = (qkv.i(0)?, qkv.i(1)?, qkv.i(2)?);
        let (q, k) = (self.queries(&q)?, self.keys(&k)?);
        let at_once = (SCORES_AT_ONCE / (tokens * tokens).max(1)).max(1);
        let mut mixed = Vec::new();
        for start in (0..n * self.heads).step_by(at_once) {
            let len = at_once.min(n * self.heads - start);
            let scores = q.narrow(0, start, len)?.matmul(&k.narrow(0, start, len)?.t()?)?;
            mixed.push(softmax(&scores)?.matmul(&v.narrow(0, start, len)?)?);
        }
        Tensor::cat(&mixed, 0)?
            .reshape((n, self.heads, tokens, per_head))?
            .transpose(1, 2)?
            .reshape((n, tokens, width))
    }

    /// `q [N, side², D]` → `[N, side², D + 2 side]`: the scaled query, then what it makes of each
    /// key row and each key column. Against [`Attention::keys`] one product gives
    /// `(q·scale)·k + q·R_row + q·R_column`, where adding the two maps to the scores afterwards
    /// would walk over them twice more.
    fn queries(&self, q: &Tensor) -> Result<Tensor> {
        let (n, tokens, per_head) = q.dims3()?;
        let side = self.positions.side;
        let square = q.reshape((n, side, side, per_head))?;
        let meet = |by_line: Tensor, vectors: &Tensor| -> Result<Tensor> {
            by_line
                .contiguous()?
                .reshape((side, n * side, per_head))?
                .matmul(vectors)?
                .reshape((side, n, side, side))
        };
        let rows = meet(square.permute((1, 0, 2, 3))?, &self.positions.rows)?;
        let columns = meet(square.permute((2, 0, 1, 3))?, &self.positions.columns)?;
        let rows = rows.permute((1, 0, 2, 3))?.reshape((n, tokens, side))?;
        let columns = columns.permute((1, 2, 0, 3))?.reshape((n, tokens, side))?;
        let scaled = q.affine(1.0 / (per_head as f64).sqrt(), 0.0)?;
        Tensor::cat(&[scaled, rows, columns], D::Minus1)
    }

    /// `k [N, side², D]` → `[N, side², D + 2 side]`: the key, then where it stands.
    fn keys(&self, k: &Tensor) -> Result<Tensor> {
        let (n, tokens, _) = k.dims3()?;
        let membership = &self.positions.membership;
        let shape = (n, tokens, membership.dim(1)?);
        let place = membership.unsqueeze(0)?.broadcast_as(shape)?.contiguous()?;
        Tensor::cat(&[k.contiguous()?, place.to_dtype(k.dtype())?], D::Minus1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_nn::params::{LoadOptions, Missing, load};

    const CONFIG: AttentionConfig = AttentionConfig { width: 6, heads: 2, side: 3 };

    fn attention() -> Attention {
        let options =
            LoadOptions { missing: Missing::Initialise { seed: 1 }, ..LoadOptions::frozen() };
        load(Default::default(), &options, |vb| Attention::new(CONFIG, vb)).unwrap().module
    }

    /// The definition in SAM's `add_decomposed_rel_pos`, number by number.
    fn by_hand(a: &Attention, qkv: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let (heads, side, d) = (2, 3, 3);
        let bias = a.qkv_bias.to_vec1::<f32>().unwrap();
        let at = |t: usize, part: usize, h: usize, c: usize| {
            let i = part * 6 + h * d + c;
            f64::from(qkv[t][i] + bias[i])
        };
        let (rh, rw) =
            (a.rel_pos_h.to_vec2::<f32>().unwrap(), a.rel_pos_w.to_vec2::<f32>().unwrap());
        let mut out = vec![vec![0.0; heads * d]; side * side];
        for h in 0..heads {
            for (t, out) in out.iter_mut().enumerate() {
                let score = |u: usize| {
                    let (row, column) =
                        (t / side + side - 1 - u / side, t % side + side - 1 - u % side);
                    (0..d)
                        .map(|c| {
                            let place = f64::from(rh[row][c] + rw[column][c]);
                            at(t, 0, h, c) * (at(u, 1, h, c) / (d as f64).sqrt() + place)
                        })
                        .sum::<f64>()
                };
                let weights: Vec<f64> = (0..side * side).map(|u| score(u).exp()).collect();
                let total: f64 = weights.iter().sum();
                for c in 0..d {
                    let mixed = weights.iter().enumerate().map(|(u, w)| w * at(u, 2, h, c));
                    out[h * d + c] = mixed.sum::<f64>() / total;
                }
            }
        }
        out
    }

    #[test]
    fn mixing_agrees_with_the_definition() {
        let a = attention();
        let values: Vec<f32> =
            (0..2 * 9 * 18).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
        let qkv = Tensor::from_vec(values, (2, 9, 18), &Device::Cpu).unwrap();
        let out = a.mix(&qkv).unwrap().to_vec3::<f32>().unwrap();
        for (qkv, out) in qkv.to_vec3::<f32>().unwrap().iter().zip(out) {
            for (expected, found) in by_hand(&a, qkv).iter().flatten().zip(out.iter().flatten()) {
                assert!((expected - f64::from(*found)).abs() < 2e-6, "{expected} {found}");
            }
        }
    }

    #[test]
    fn another_side_resamples_the_tables_and_the_same_side_does_not() {
        let a = attention();
        let same = a.with_side(3).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&same.positions.rows), flat(&a.positions.rows));
        let larger = a.with_side(5).unwrap();
        assert_eq!(larger.positions.rows.dims(), &[5, 3, 5]);
        // 5 entries become 9 (F.interpolate, align_corners = false): entry 0 samples at
        // (0.5)·5/9 - 0.5 < 0, hence the first vector; it is met by query 0 and the last key.
        let first = a.rel_pos_h.i(0).unwrap();
        let met = larger.positions.rows.i((0, .., 4)).unwrap();
        assert_eq!(flat(&met), flat(&first));
    }
}
