//! Interpolation of position tables to another side.

use candle_core::{Device, Result, Tensor};

/// Weight matrix `[to, from]` of linear interpolation with `align_corners = false`, no antialiasing:
/// `F.interpolate` in SAM's `get_rel_pos`.
pub(super) fn linear_weights(from: usize, to: usize, device: &Device) -> Result<Tensor> {
    let mut weights = vec![0f32; to * from];
    let scale = from as f64 / to.max(1) as f64;
    for (i, row) in weights.chunks_exact_mut(from.max(1)).enumerate() {
        // Half-pixel centres, clamped at the border as in PyTorch.
        let at = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
        let low = (at as usize).min(from.saturating_sub(1));
        let high = (low + 1).min(from.saturating_sub(1));
        let part = (at - low as f64) as f32;
        // `+=`, because at the far end both neighbours are the same entry.
        if let Some(w) = row.get_mut(low) {
            *w += 1.0 - part;
        }
        if let Some(w) = row.get_mut(high) {
            *w += part;
        }
    }
    Tensor::from_vec(weights, (to, from), device)
}

/// Relative position table `[L, D]` interpolated to `[length, D]`.
pub(super) fn table(table: &Tensor, length: usize) -> Result<Tensor> {
    let (from, _) = table.dims2()?;
    if from == length {
        return Ok(table.clone());
    }
    linear_weights(from, length, table.device())?.matmul(&table.contiguous()?)
}

/// Absolute positions `[1, G, G, C]` interpolated to `[1, grid, grid, C]`, bilinearly. SAM has no rule
/// for this; linear along each axis is its rule for the relative tables.
pub(super) fn grid(positions: &Tensor, grid: usize) -> Result<Tensor> {
    let (_, rows, columns, channels) = positions.dims4()?;
    if rows == grid && columns == grid {
        return Ok(positions.clone());
    }
    let device = positions.device();
    // Separable: rows first, then columns, each a matrix multiplication.
    let by_row = positions.reshape((rows, columns * channels))?;
    let by_row = linear_weights(rows, grid, device)?.matmul(&by_row)?;
    let by_column = by_row.reshape((grid, columns, channels))?;
    let weights = linear_weights(columns, grid, device)?;
    let weights = weights.unsqueeze(0)?.broadcast_as((grid, grid, columns))?.contiguous()?;
    weights.matmul(&by_column)?.unsqueeze(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_weights_by_hand() {
        // F.interpolate(mode="linear", align_corners=False) of 4 → 2 samples at 0.5 and 2.5, of
        // 2 → 4 at -0.25 (clamped to 0), 0.25, 0.75 and 1.25 (clamped to 1).
        let half = linear_weights(4, 2, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(half, [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]);
        let twice = linear_weights(2, 4, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(twice, [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]);
    }

    #[test]
    fn a_linear_ramp_stays_one_away_from_the_edges() {
        let ramp: Vec<f32> = (0..36).map(|i| (i / 6) as f32 + 10.0 * (i % 6) as f32).collect();
        let ramp = Tensor::from_vec(ramp, (1, 6, 6, 1), &Device::Cpu).unwrap();
        let out = grid(&ramp, 12).unwrap().reshape((12, 12)).unwrap().to_vec2::<f32>().unwrap();
        for (r, row) in out.iter().enumerate().take(11).skip(1) {
            for (c, v) in row.iter().enumerate().take(11).skip(1) {
                let at = |i: usize| (i as f32 + 0.5) / 2.0 - 0.5;
                assert!((v - (at(r) + 10.0 * at(c))).abs() < 1e-5, "{r} {c} {v}");
            }
        }
    }
}
