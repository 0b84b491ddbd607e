//! Binary mask of a slice, on the host.

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

    /// A mask of as many values as it has pixels, each 0 or 1.
    pub(crate) fn from_valid(height: usize, width: usize, data: Vec<u8>) -> Self {
        Self { height, width, data }
    }

    /// A mask without foreground.
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

    /// Consumes `self` and returns the values, row by row.
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

    /// Foreground pixels within the outermost `px` rows and columns of each side.
    pub fn border_area(&self, px: usize) -> usize {
        let inner = |at: usize, length: usize| at >= px && at < length.saturating_sub(px);
        let kept = |(row, line): (usize, &[u8])| {
            let line = if inner(row, self.height) { line } else { &[] };
            let inside = line.iter().enumerate().filter(|(column, _)| inner(*column, self.width));
            inside.map(|(_, v)| usize::from(*v)).sum::<usize>()
        };
        let rows = self.data.chunks_exact(self.width.max(1)).enumerate();
        self.area() - rows.map(kept).sum::<usize>()
    }

    /// The bounding box of the foreground, `x1` and `y1` being the last foreground column and row
    /// (SAM's convention), or `None` for an empty mask.
    pub fn bounding_box(&self) -> Option<PromptBox> {
        let mut found: Option<[usize; 4]> = None;
        for (row, line) in self.data.chunks_exact(self.width.max(1)).enumerate() {
            let set = |v: &u8| *v == 1;
            if let (Some(left), Some(right)) =
                (line.iter().position(set), line.iter().rposition(set))
            {
                let [x0, y0, x1, _] = found.unwrap_or([left, row, right, row]);
                found = Some([x0.min(left), y0, x1.max(right), row]);
            }
        }
        let [x0, y0, x1, y1] = found?.map(|v| v as f32);
        Some(PromptBox { x0, y0, x1, y1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_is_counted() {
        // By hand: of 5 × 6 pixels a border of 1 has 30 - 3 · 4, one of 2 has 30 - 1 · 2.
        let full = BinaryMask::new(5, 6, vec![1; 30]).unwrap();
        let areas = [0, 1, 2, 3, usize::MAX].map(|px| full.border_area(px));
        assert_eq!(areas, [0, 18, 28, 30, 30]);
        assert_eq!(BinaryMask::empty(5, 6).border_area(2), 0);
        assert_eq!(BinaryMask::empty(0, 6).border_area(1), 0);
        assert_eq!(BinaryMask::empty(6, 0).border_area(1), 0);
        let mut one = vec![0; 30];
        // Row 2, column 2: the middle row, the third column.
        one[14] = 1;
        let one = BinaryMask::new(5, 6, one).unwrap();
        assert_eq!([1, 2, 3].map(|px| one.border_area(px)), [0, 0, 1]);
    }

    #[test]
    fn the_box_is_tight() {
        let boxed = |rows: &[&str]| {
            let data = rows.iter().flat_map(|r| r.bytes()).map(|b| u8::from(b == b'#')).collect();
            let mask = BinaryMask::new(rows.len(), rows[0].len(), data).unwrap();
            mask.bounding_box().map(|b| [b.x0, b.y0, b.x1, b.y1])
        };
        assert_eq!(boxed(&["....", "..#.", ".#.."]), Some([1.0, 1.0, 2.0, 2.0]));
        assert_eq!(boxed(&["#...", "....", "...#"]), Some([0.0, 0.0, 3.0, 2.0]));
        assert_eq!(boxed(&["...", ".#."]), Some([1.0; 4]));
        assert_eq!(boxed(&["...", "..."]), None);
        assert_eq!(BinaryMask::empty(0, 0).bounding_box(), None);
        assert_eq!(BinaryMask::empty(0, 5).bounding_box(), None);
        assert_eq!(BinaryMask::empty(5, 0).bounding_box(), None);
    }
}
