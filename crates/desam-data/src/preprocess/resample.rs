//! Trilinear resampling of a volume into frames.

use super::axis::AxisMapping;
use crate::Result;
use desam_volume::fallible;

/// The two voxels a pixel lies between, and how far it is from the first.
#[derive(Clone, Copy)]
struct LinearWeights {
    first: usize,
    second: usize,
    t: f32,
}

fn between(axis: AxisMapping) -> Vec<Option<LinearWeights>> {
    let last = axis.source.saturating_sub(1);
    let place = |x: f64| {
        let first = (x as usize).min(last);
        LinearWeights { first, second: (first + 1).min(last), t: (x - first as f64) as f32 }
    };
    (0..axis.frame).map(|f| axis.to_source(f).map(place)).collect()
}

/// Trilinear interpolation, rounded; 0 in the padding.
pub(super) fn resample(levels: &[f32], axes: &[AxisMapping; 3]) -> Result<Vec<u8>> {
    let [width, height, _] = axes.map(|a| a.source);
    let [columns, rows, slices] = axes.map(between);
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
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
                *v = mix(mix(a, b, y.t), mix(c, d, y.t), z.t);
            }
            let value = |x: LinearWeights| (mix(line[x.first], line[x.second], x.t) + 0.5) as u8;
            out.extend(columns.iter().map(|x| x.map_or(0, value)));
        }
    }
    Ok(out)
}
