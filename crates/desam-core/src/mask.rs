//! One binary mask of one slice, on the host.

use crate::{Error, PromptBox, Result};

/// A 2-D binary mask, row by row, `0` or `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryMask {
    height: usize,
    width: usize,
    data: Vec<u8>,
}

impl BinaryMask {
    /// A mask from `height × width` values, any value above zero being foreground.
    ///
    /// # Errors
    /// When the number of values is not `height × width`.
    pub fn new(height: usize, width: usize, mut data: Vec<u8>) -> Result<Self> {
        if data.len() != height * width {
            return Err(Error::shape("mask values", height * width, data.len()));
        }
        data.iter_mut().for_each(|v| *v = u8::from(*v > 0));
        Ok(Self { height, width, data })
    }

    /// A mask with nothing in it.
    pub fn empty(height: usize, width: usize) -> Self {
        Self { height, width, data: vec![0; height * width] }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The values, row by row, given away.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Whether pixel (`row`, `column`) is foreground; outside the mask nothing is.
    pub fn get(&self, row: usize, column: usize) -> bool {
        row < self.height && column < self.width && self.data[row * self.width + column] == 1
    }

    /// Foreground pixels.
    pub fn area(&self) -> usize {
        self.data.iter().map(|&v| usize::from(v)).sum()
    }

    /// Whether there is no foreground.
    pub fn is_empty(&self) -> bool {
        self.data.iter().all(|&v| v == 0)
    }

    /// The tight box of the foreground, `x1` and `y1` being the last foreground column and row
    /// (SAM's convention), or `None` for an empty mask.
    pub fn bounding_box(&self) -> Option<PromptBox> {
        let rows: Vec<usize> =
            (0..self.height).filter(|&r| (0..self.width).any(|c| self.get(r, c))).collect();
        let columns: Vec<usize> =
            (0..self.width).filter(|&c| (0..self.height).any(|r| self.get(r, c))).collect();
        let (&y0, &y1) = (rows.first()?, rows.last()?);
        let (&x0, &x1) = (columns.first()?, columns.last()?);
        Some(PromptBox { x0: x0 as f32, y0: y0 as f32, x1: x1 as f32, y1: y1 as f32 })
    }
}
