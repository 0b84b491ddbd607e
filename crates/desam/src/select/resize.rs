//! Bilinear resizing of mask logits to the image's grid, as SAM does it: to the encoder's input side,
//! cropped to the part that the image covers, then to the image.
//!
//! The intermediate image of the input's size (4 MiB at 1024²) is never materialised: the second step
//! reads two of its rows and columns for each pixel, so only those are computed, with the same
//! arithmetic in the same order.

use super::Geometry;

/// Bilinear interpolation along one axis: two input positions and their weights.
#[derive(Debug, Clone, Copy)]
struct Tap {
    lower: usize,
    upper: usize,
    lower_weight: f32,
    upper_weight: f32,
}

impl Tap {
    fn mix(&self, lower: f32, upper: f32) -> f32 {
        lower * self.lower_weight + upper * self.upper_weight
    }
}

/// Taps of `output` positions over `input` ones; both at least 1. In f32 throughout, half-pixel
/// centres, clamped at the low edge before the weights and at the high edge after them (PyTorch's
/// `upsample_bilinear2d`, `align_corners = false`).
fn taps(input: usize, output: usize) -> Vec<Tap> {
    let scale = input as f32 / output as f32;
    (0..output)
        .map(|at| {
            let source = (scale * (at as f32 + 0.5) - 0.5).max(0.0);
            let lower = (source as usize).min(input - 1);
            let upper_weight = (source - lower as f32).clamp(0.0, 1.0);
            Tap {
                lower,
                upper: (lower + 1).min(input - 1),
                lower_weight: 1.0 - upper_weight,
                upper_weight,
            }
        })
        .collect()
}

/// Resizes masks of one [`Geometry`]; built once for all candidates of an image.
#[derive(Debug)]
pub(super) struct MaskResizer {
    mask_side: usize,
    /// From the mask to the encoder input, for each row of the input.
    input_rows: Vec<Tap>,
    /// From the mask to the encoder input, for the two input columns that each image column reads.
    column_pairs: Vec<[Tap; 2]>,
    /// Encoder input to image.
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl MaskResizer {
    /// `geometry` has been validated.
    pub(super) fn new(geometry: &Geometry) -> Self {
        let input = taps(geometry.mask_side, geometry.input_side);
        let (covered_rows, covered_columns) = geometry.covered();
        let columns = taps(covered_columns, geometry.image_width);
        Self {
            mask_side: geometry.mask_side,
            column_pairs: columns.iter().map(|c| [input[c.lower], input[c.upper]]).collect(),
            input_rows: input,
            rows: taps(covered_rows, geometry.image_height),
            columns,
        }
    }

    /// Logits `M × M` on the image's grid, row by row. `logits` has `M²` values.
    pub(super) fn resize(&self, logits: &[f32]) -> Vec<f32> {
        let spread: Vec<InterpolatedLine> =
            logits.chunks_exact(self.mask_side).map(|line| self.spread(line)).collect();
        let width = self.columns.len();
        let mut image = Vec::with_capacity(self.rows.len() * width);
        // The last two rows of the encoder input, already narrowed to the image's columns:
        // neighbouring image rows share them when the image is larger than the input.
        let mut lower = Row { at: None, values: vec![0.0; width] };
        let mut upper = Row { at: None, values: vec![0.0; width] };
        for tap in &self.rows {
            if lower.at != Some(tap.lower) && upper.at == Some(tap.lower) {
                std::mem::swap(&mut lower, &mut upper);
            }
            self.fill(&mut lower, tap.lower, &spread);
            self.fill(&mut upper, tap.upper, &spread);
            image.extend(lower.values.iter().zip(&upper.values).map(|(&a, &b)| tap.mix(a, b)));
        }
        image
    }

    /// One line of the mask at the encoder input's columns, as far as the image reads them.
    fn spread(&self, line: &[f32]) -> InterpolatedLine {
        let read = |tap: &Tap| tap.mix(line[tap.lower], line[tap.upper]);
        let pairs = self.column_pairs.iter();
        InterpolatedLine {
            left: pairs.clone().map(|[left, _]| read(left)).collect(),
            right: pairs.map(|[_, right]| read(right)).collect(),
        }
    }

    /// Row `at` of the encoder input, at the image's columns. No indices in the loop: it is the
    /// one that takes the time, and the compiler vectorises it.
    fn fill(&self, row: &mut Row, at: usize, spread: &[InterpolatedLine]) {
        if row.at == Some(at) {
            return;
        }
        row.at = Some(at);
        let tap = self.input_rows[at];
        let (top, bottom) = (&spread[tap.lower], &spread[tap.upper]);
        let left = top.left.iter().zip(&bottom.left);
        let right = top.right.iter().zip(&bottom.right);
        let sources = left.zip(right).zip(&self.columns);
        for (value, ((left, right), column)) in row.values.iter_mut().zip(sources) {
            *value = column.mix(tap.mix(*left.0, *left.1), tap.mix(*right.0, *right.1));
        }
    }
}

/// A mask line at the left and at the right input column of each image column.
#[derive(Debug)]
struct InterpolatedLine {
    left: Vec<f32>,
    right: Vec<f32>,
}

#[derive(Debug)]
struct Row {
    /// Index of the row in the encoder input.
    at: Option<usize>,
    values: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// One whole bilinear step, the straightforward implementation.
    fn step(source: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
        let (rows, columns) = (taps(from.0, to.0), taps(from.1, to.1));
        let get = |r: usize, c: usize| source[r * from.1 + c];
        let mut out = Vec::new();
        for r in &rows {
            for c in &columns {
                let top = c.mix(get(r.lower, c.lower), get(r.lower, c.upper));
                let bottom = c.mix(get(r.upper, c.lower), get(r.upper, c.upper));
                out.push(r.mix(top, bottom));
            }
        }
        out
    }

    #[test]
    fn one_step_by_hand() {
        // PyTorch's documentation of Upsample(scale_factor=2, mode='bilinear') shows this very
        // example: [[1, 2], [3, 4]] to 4 × 4.
        let expected = [
            1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0,
        ];
        assert_eq!(step(&[1.0, 2.0, 3.0, 4.0], (2, 2), (4, 4)), expected);
        // Arithmetic: down from 4 to 2, each output reads the middle of two neighbours.
        assert_eq!(step(&[0.0, 2.0, 10.0, 20.0], (1, 4), (1, 2)), [1.0, 15.0]);
        // 3 to 2: sources (0.5 · 1.5 − 0.5) = 0.25 and 1.75.
        assert_eq!(step(&[0.0, 4.0, 8.0], (1, 3), (1, 2)), [1.0, 7.0]);
    }

    #[test]
    fn both_steps_are_the_plain_two_bit_for_bit() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for geometry in [
            Geometry::square(16, 64, 16),
            Geometry::square(16, 64, 64),
            Geometry::square(16, 64, 150),
            Geometry::square(7, 30, 11),
            Geometry::square(1, 4, 3),
            Geometry { mask_side: 8, input_side: 32, image_height: 20, image_width: 50 },
            Geometry { mask_side: 8, input_side: 32, image_height: 90, image_width: 31 },
        ] {
            geometry.validate().unwrap();
            let (m, s) = (geometry.mask_side, geometry.input_side);
            let logits: Vec<f32> = (0..m * m).map(|_| rng.random_range(-9.0..9.0)).collect();
            let whole = step(&logits, (m, m), (s, s));
            let (rows, columns) = geometry.covered();
            let cropped: Vec<f32> =
                whole.chunks(s).take(rows).flat_map(|r| &r[..columns]).copied().collect();
            let image = (geometry.image_height, geometry.image_width);
            let expected = step(&cropped, (rows, columns), image);
            assert_eq!(MaskResizer::new(&geometry).resize(&logits), expected, "{geometry:?}");
        }
    }

    #[test]
    fn a_constant_stays_and_the_range_is_kept() {
        let geometry = Geometry { mask_side: 9, input_side: 37, image_height: 60, image_width: 41 };
        let resizer = MaskResizer::new(&geometry);
        assert!(resizer.resize(&[2.5; 81]).iter().all(|v| (v - 2.5).abs() < 1e-5));
        let logits: Vec<f32> = (0..81).map(|i| (i * 31 % 17) as f32).collect();
        assert!(resizer.resize(&logits).iter().all(|v| (-1e-4..=16.0001).contains(v)));
    }
}
