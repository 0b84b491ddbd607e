//! The three grids of a mask: logits, encoder input, image.

use super::SelectError;

/// Largest side: far above any slice, low enough that no product of two overflows.
const LARGEST_SIDE: usize = 1 << 16;

/// Sides of the logits, of the encoder's input, and of the image the mask is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Side `M` of the square logits.
    pub mask_side: usize,
    /// Side `S` of the encoder's square input.
    pub input_side: usize,
    /// Rows of the image.
    pub image_height: usize,
    /// Columns of the image.
    pub image_width: usize,
}

impl Geometry {
    /// A square image.
    pub fn square(mask_side: usize, input_side: usize, image_side: usize) -> Self {
        Self { mask_side, input_side, image_height: image_side, image_width: image_side }
    }

    /// Rows and columns of the encoder's input that the image covers: its long side fills `S`,
    /// the rest is padding at the bottom or the right (SAM's `ResizeLongestSide`).
    pub fn covered(&self) -> (usize, usize) {
        let long = self.image_height.max(self.image_width).max(1);
        let scale = self.input_side as f64 / long as f64;
        let scaled = |side: usize| (side as f64 * scale + 0.5) as usize;
        (scaled(self.image_height), scaled(self.image_width))
    }

    /// Checks that masks can be resized between the three grids.
    ///
    /// # Errors
    /// When a side is 0 or too large, or the image is so thin that it covers no pixel of the
    /// input.
    pub fn validate(&self) -> Result<(), SelectError> {
        let Self { mask_side, input_side, image_height, image_width } = *self;
        let sides = [mask_side, input_side, image_height, image_width];
        let (rows, columns) = self.covered();
        if sides.iter().all(|s| (1..=LARGEST_SIDE).contains(s)) && rows > 0 && columns > 0 {
            return Ok(());
        }
        Err(SelectError::Geometry {
            mask_side,
            input_side,
            image_height,
            image_width,
            largest: LARGEST_SIDE,
        })
    }
}
