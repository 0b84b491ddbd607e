//! Overlays of a volume's slices with square pixels.

use crate::Result;
use crate::render::overlay_png;
use desam_core::{ClassTable, LabelMask};
use desam_data::preprocess::{SliceImage, SliceView};

/// Overlays are enlarged by integer factors up to about this side, in pixels.
const UPSCALE_TARGET_PX: usize = 768;

/// Longest side of an overlay, in pixels.
const MAX_SIDE_PX: f64 = 2048.0;

/// A slice as PNG with the outlines of the classes that its mask has labels of: pixels are square
/// whatever the spacing, and the slice is centred in a square, padded with black.
pub(super) fn picture(view: &SliceView, classes: &ClassTable) -> Result<Vec<u8>> {
    let square = SquareFrame::new(view);
    let (image, labels) = square.fill(view)?;
    overlay_png(&image, &classes.classes_of(labels), None, (UPSCALE_TARGET_PX / square.side).max(1))
}

/// Placement of a slice in a square picture.
#[derive(Debug)]
struct SquareFrame {
    side: usize,
    /// Pixels of the slice across and down.
    size: [usize; 2],
}

/// Linear interpolation along one axis: two neighbouring pixels, the weight of the second, and the
/// nearest of the two.
#[derive(Debug, Clone, Copy)]
struct AxisSample {
    first: usize,
    second: usize,
    t: f32,
    nearest: usize,
}

impl SquareFrame {
    fn new(view: &SliceView) -> Self {
        let counts = [view.width, view.height];
        let finest = view.spacing_mm[0].min(view.spacing_mm[1]);
        let length = |a: usize| counts[a] as f64 * view.spacing_mm[a] / finest;
        // An unusable spacing is replaced by that of the other axis.
        let length = |a: usize| if length(a) >= 1.0 { length(a) } else { counts[a] as f64 };
        let shrink = (length(0).max(length(1)) / MAX_SIDE_PX).max(1.0);
        let size = [0, 1].map(|a| ((length(a) / shrink).round().min(MAX_SIDE_PX) as usize).max(1));
        Self { side: size[0].max(size[1]), size }
    }

    /// Samples of the square's pixels along one axis of a slice of `count` pixels; `None` in the
    /// padding.
    fn places(&self, axis: usize, count: usize) -> Vec<Option<AxisSample>> {
        let (size, last) = (self.size[axis], count.saturating_sub(1));
        let before = (self.side - size) / 2;
        let place = |n: usize| {
            let own = n.checked_sub(before).filter(|n| *n < size)?;
            let edge = (own as f64 + 0.5) * count as f64 / size as f64;
            let middle = (edge - 0.5).clamp(0.0, last as f64);
            let first = (middle as usize).min(last);
            let t = (middle - first as f64) as f32;
            let nearest = (edge as usize).min(last);
            Some(AxisSample { first, second: (first + 1).min(last), t, nearest })
        };
        (0..self.side).map(place).collect()
    }

    /// The square's pixels and labels.
    fn fill(&self, view: &SliceView) -> Result<(SliceImage, LabelMask)> {
        let (columns, rows) = (self.places(0, view.width), self.places(1, view.height));
        let inside =
            |x: usize, y: usize| view.mask.get(y * view.width + x).copied().unwrap_or_default();
        let (mut image, mut mask) = (Vec::new(), Vec::new());
        // One channel of grey, or red, green and blue.
        for channel in view.image.chunks_exact((view.width * view.height).max(1)) {
            let level = |x: usize, y: usize| {
                channel.get(y * view.width + x).copied().map_or(0.0, f32::from)
            };
            for (row, column) in rows.iter().flat_map(|row| columns.iter().map(move |c| (row, c))) {
                let (Some(x), Some(y)) = (column, row) else {
                    image.push(0);
                    continue;
                };
                let line = |at: usize| {
                    level(x.first, at) + (level(x.second, at) - level(x.first, at)) * x.t
                };
                let value = line(y.first) + (line(y.second) - line(y.first)) * y.t;
                image.push((value + 0.5) as u8);
            }
        }
        for (row, column) in rows.iter().flat_map(|row| columns.iter().map(move |c| (row, c))) {
            mask.push(column.zip(*row).map_or(0, |(x, y)| inside(x.nearest, y.nearest)));
        }
        let mask = LabelMask::new(self.side, self.side, mask)?;
        Ok((SliceImage { side: self.side, data: image }, mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_square_and_the_slice_sits_in_the_middle() {
        // By hand: 4 columns of 1 mm by 1 row of 2 mm are 4 × 2 pixels, one row of black above and
        // below.
        let view = SliceView {
            width: 4,
            height: 1,
            spacing_mm: [1.0, 2.0],
            image: vec![10, 20, 30, 40],
            mask: vec![0, 1, 0, 0],
        };
        let square = SquareFrame::new(&view);
        assert_eq!((square.side, square.size), (4, [4, 2]));
        let (image, mask) = square.fill(&view).unwrap();
        let black = [0; 4];
        let row = [10, 20, 30, 40];
        assert_eq!(image.data, [black, row, row, black].concat());
        assert_eq!(mask.data(), [black, [0, 1, 0, 0], [0, 1, 0, 0], black].concat());
        // And between pixels it is linear: 2 columns of 2 mm by 2 rows of 1 mm, as 0, 1/4, 3/4, 1.
        let view = SliceView {
            width: 2,
            height: 2,
            spacing_mm: [2.0, 1.0],
            image: vec![0, 200, 0, 200],
            mask: vec![1; 4],
        };
        let (image, _) = SquareFrame::new(&view).fill(&view).unwrap();
        assert_eq!(image.data[4..8], [0, 50, 150, 200]);
    }

    #[test]
    fn the_outline_is_where_the_mask_is() {
        // A slice of 300 × 300 pixels, enlarged by 2 to stay below 768: the mask's first pixel,
        // (100, 60), is at (200, 120).
        let inside = |n: usize| (100..200).contains(&(n % 300)) && (60..90).contains(&(n / 300));
        let view = SliceView {
            width: 300,
            height: 300,
            spacing_mm: [0.5; 2],
            image: vec![50; 90_000],
            mask: (0..90_000).map(|n| u8::from(inside(n))).collect(),
        };
        let at = |png: &[u8], x: usize, y: usize| {
            let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().unwrap();
            let mut data = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut data).unwrap();
            assert_eq!((info.width, info.height), (600, 600));
            [0, 1, 2].map(|channel| data[3 * (600 * y + x) + channel])
        };
        let png = picture(&view, &ClassTable::default()).unwrap();
        assert_eq!(at(&png, 200, 120), crate::render::PREDICTION_RGB);
        for (x, y) in [(199, 120), (200, 119), (250, 150)] {
            assert_eq!(at(&png, x, y), [50; 3]);
        }
        // Labels are drawn as the classes that they are of.
        let png = picture(&view, &"other=2,this=1".parse().unwrap()).unwrap();
        assert_eq!(at(&png, 200, 120), crate::render::class_colors(2).prediction);
    }

    #[test]
    fn colour_stays_colour() {
        let view = SliceView {
            width: 2,
            height: 2,
            spacing_mm: [1.0; 2],
            image: [[10; 4], [20; 4], [30; 4]].concat(),
            mask: vec![0; 4],
        };
        let (image, _) = SquareFrame::new(&view).fill(&view).unwrap();
        assert_eq!(image.data, view.image);
        let mut decoder = png::Decoder::new(std::io::Cursor::new(
            picture(&view, &ClassTable::default()).unwrap(),
        ));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut data).unwrap();
        assert_eq!(data[..3], [10, 20, 30]);
    }

    #[test]
    fn odd_spacings_make_pictures_all_the_same() {
        for spacing_mm in [[1e-9, 1e9], [0.0, 1.0], [f64::NAN, 1.0], [f64::INFINITY, 1.0]] {
            let view =
                SliceView { width: 3, height: 2, spacing_mm, image: vec![9; 6], mask: vec![1; 6] };
            let square = SquareFrame::new(&view);
            assert!((1..=MAX_SIDE_PX as usize).contains(&square.side), "{spacing_mm:?} {square:?}");
            square.fill(&view).unwrap();
        }
    }
}
