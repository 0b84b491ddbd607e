//! Grey levels as z-scores, and back: random convolutions work on intensities of mean 0 and
//! deviation 1, encoders on levels from 0 to 255.

use crate::preprocess::{SliceImage, percentile};

/// Percentiles of a changed image that become black and white, those of the preprocessing.
const WINDOW: [f64; 2] = [0.5, 99.5];

/// An image as z-scores, with the background that stays black.
pub(super) struct ZScores {
    side: usize,
    pub(super) values: Vec<f32>,
    background: Vec<bool>,
}

impl ZScores {
    /// `None` for an image of a single level, in which there is nothing to change.
    pub(super) fn new(image: &SliceImage) -> Option<Self> {
        let count = image.data.len().max(1) as f64;
        let mean = image.data.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let squares = image.data.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>();
        let deviation = (squares / count).sqrt();
        if deviation <= 0.0 {
            return None;
        }
        let values = image.data.iter().map(|v| ((f64::from(*v) - mean) / deviation) as f32);
        Some(Self { side: image.side, values: values.collect(), background: background(image) })
    }

    /// Pixels of a side.
    pub(super) fn side(&self) -> usize {
        self.side
    }

    /// Channels: 1 of grey, 3 of colour.
    pub(super) fn channels(&self) -> usize {
        self.values.len() / self.background.len().max(1)
    }

    /// Changed values as levels: their [`WINDOW`] becomes 0 to 255 and the background black. `None`
    /// where the values are all alike.
    pub(super) fn levels(&self, changed: &[f32]) -> Option<SliceImage> {
        let plane = self.background.len().max(1);
        let planes = changed.chunks(plane);
        let mut foreground: Vec<f32> = planes
            .flat_map(|values| values.iter().zip(&self.background))
            .filter_map(|(value, black)| (!black && value.is_finite()).then_some(*value))
            .collect();
        let [low, high] = WINDOW.map(|p| percentile(&mut foreground, p));
        if high - low <= f64::EPSILON {
            return None;
        }
        let level = |(n, value): (usize, &f32)| {
            if self.background[n % plane] {
                return 0;
            }
            // A cast to u8 keeps to its range.
            (255.0 * (f64::from(*value) - low) / (high - low)).round() as u8
        };
        let data = changed.iter().enumerate().map(level).collect();
        Some(SliceImage { side: self.side, data })
    }
}

/// Black pixels among black neighbours: what lies outside the scan, unlike the darkest pixels of the
/// body, which are black as well.
fn background(image: &SliceImage) -> Vec<bool> {
    let side = image.side;
    let plane = side * side;
    let black: Vec<bool> =
        (0..plane).map(|n| image.channels().all(|channel| channel[n] == 0)).collect();
    let inside = |row: usize, column: usize| row < side && column < side;
    let alone = |n: usize| {
        let (row, column) = (n / side, n % side);
        let neighbours = [
            (row.wrapping_sub(1), column),
            (row + 1, column),
            (row, column.wrapping_sub(1)),
            (row, column + 1),
        ];
        neighbours.into_iter().any(|(r, c)| inside(r, c) && !black[r * side + c])
    };
    (0..plane).map(|n| black[n] && !alone(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_values_come_back_stretched_to_all_levels() {
        let data: Vec<u8> = (0..64).map(|i| 20 + 3 * i).collect();
        let image = SliceImage { side: 8, data };
        let scores = ZScores::new(&image).unwrap();
        let mean = scores.values.iter().sum::<f32>() / 64.0;
        assert!(mean.abs() < 1e-5 && scores.channels() == 1);
        let back = scores.levels(&scores.values).unwrap();
        assert!(back.data.is_sorted());
        assert_eq!((back.data[0], back.data[63]), (0, 255));
    }

    #[test]
    fn the_ground_outside_the_scan_stays_black_and_dark_pixels_do_not() {
        // A black frame of two pixels around a bright square with one black pixel.
        let body = |n: usize| (2..8).contains(&(n / 10)) && (2..8).contains(&(n % 10));
        let level = |n: usize| if body(n) && n != 44 { 100 + n as u8 } else { 0 };
        let image = SliceImage { side: 10, data: (0..100).map(level).collect() };
        let scores = ZScores::new(&image).unwrap();
        let inverted: Vec<f32> = scores.values.iter().map(|v| -v).collect();
        let out = scores.levels(&inverted).unwrap();
        assert_eq!(out.data[0], 0);
        assert_eq!(out.data[44], 255);
    }

    #[test]
    fn a_flat_image_has_no_scores() {
        assert!(ZScores::new(&SliceImage { side: 4, data: vec![9; 16] }).is_none());
        let image = SliceImage { side: 2, data: vec![1, 2, 3, 4] };
        assert!(ZScores::new(&image).unwrap().levels(&[0.5; 4]).is_none());
    }
}
