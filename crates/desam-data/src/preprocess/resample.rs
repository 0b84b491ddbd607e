//! Trilinear resampling of a volume into frames.

use super::axis::AxisMapping;
use super::linear::LinearWeights;
use crate::Result;
use desam_volume::fallible;

/// For each pixel of the frame the voxels around it; `None` in the padding.
fn linear_weights(axis: AxisMapping) -> Vec<Option<LinearWeights>> {
    let last = axis.source.saturating_sub(1);
    let weights = |position| LinearWeights::new(position, last);
    (0..axis.frame).map(|f| axis.to_source(f).map(weights)).collect()
}

/// Trilinear interpolation, rounded; 0 in the padding.
pub(super) fn resample(levels: &[f32], axes: &[AxisMapping; 3]) -> Result<Vec<u8>> {
    let [width, height, _] = axes.map(|a| a.source);
    let [columns, rows, slices] = axes.map(linear_weights);
    let mut out = fallible::with_capacity(columns.len() * rows.len() * slices.len())?;
    let mut line = vec![0.0; width];
    for slice in &slices {
        for row in &rows {
            let Some((z, y)) = slice.zip(*row) else {
                out.extend(std::iter::repeat_n(0, columns.len()));
                continue;
            };
            let source = |k: usize, j: usize| {
                let start = (k * height + j) * width;
                &levels[start..start + width]
            };
            let corners = [
                source(z.first, y.first),
                source(z.first, y.second),
                source(z.second, y.first),
                source(z.second, y.second),
            ];
            for (i, v) in line.iter_mut().enumerate() {
                let [a, b, c, d] = corners.map(|l| l[i]);
                *v = z.mix(y.mix(a, b), y.mix(c, d));
            }
            let value = |x: LinearWeights| (x.mix(line[x.first], line[x.second]) + 0.5) as u8;
            out.extend(columns.iter().map(|x| x.map_or(0, value)));
        }
    }
    Ok(out)
}
