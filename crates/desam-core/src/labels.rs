//! Label map of a slice, on the host.

use crate::{BinaryMask, Error, Result};

/// Share of a pixel that labels must cover together for it to take one of them.
const LEAST_COVER: f64 = 0.5;

/// A 2-D label map, row by row: 0 is background, any other number a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMask {
    height: usize,
    width: usize,
    data: Vec<u8>,
}

impl LabelMask {
    /// A label map from `height × width` labels.
    ///
    /// # Errors
    /// When the number of labels is not `height × width`.
    pub fn new(height: usize, width: usize, data: Vec<u8>) -> Result<Self> {
        if data.len() != height * width {
            return Err(Error::shape("labels", height * width, data.len()));
        }
        Ok(Self { height, width, data })
    }

    /// A map of background alone.
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

    /// The labels, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Consumes `self` and returns the labels, row by row.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Whether there is background alone.
    pub fn is_empty(&self) -> bool {
        self.data.iter().all(|&v| v == 0)
    }

    /// The labels that occur, rising, without background.
    pub fn labels(&self) -> Vec<u8> {
        let mut found = [false; 256];
        self.data.iter().for_each(|&v| found[usize::from(v)] = true);
        (1..=u8::MAX).filter(|&v| found[usize::from(v)]).collect()
    }

    /// The pixels that have any label.
    pub fn foreground(&self) -> BinaryMask {
        self.select(|v| v > 0)
    }

    /// The pixels that have this label.
    pub fn of(&self, label: u8) -> BinaryMask {
        self.select(|v| v == label)
    }

    fn select(&self, chosen: impl Fn(u8) -> bool) -> BinaryMask {
        let data = self.data.iter().map(|&v| u8::from(chosen(v))).collect();
        BinaryMask::from_valid(self.height, self.width, data)
    }

    /// Every label replaced by what `new` makes of it.
    #[must_use]
    pub fn map(mut self, new: impl Fn(u8) -> u8) -> Self {
        self.data.iter_mut().for_each(|v| *v = new(*v));
        self
    }

    /// Mirrored left to right.
    #[must_use]
    pub fn flip_columns(mut self) -> Self {
        self.data.chunks_exact_mut(self.width.max(1)).for_each(<[u8]>::reverse);
        self
    }

    /// The labels resampled by a function that resamples a plane of 0 and 1 to as many pixels: a pixel
    /// that labels cover by at least a half together takes the one with the largest share, the lowest of
    /// equals. With one label that is the usual threshold of a half.
    ///
    /// # Errors
    /// When `resample` gives another number of pixels.
    pub fn resampled(&self, mut resample: impl FnMut(&[u8]) -> Vec<f64>) -> Result<Self> {
        let mut covered = vec![0.0; self.data.len()];
        let mut best = vec![(0.0, 0); self.data.len()];
        for label in self.labels() {
            let shares = resample(self.of(label).data());
            if shares.len() != best.len() {
                return Err(Error::shape("resampled labels", best.len(), shares.len()));
            }
            for ((share, covered), best) in shares.into_iter().zip(&mut covered).zip(&mut best) {
                *covered += share;
                if share > best.0 {
                    *best = (share, label);
                }
            }
        }
        let taken = covered.into_iter().zip(best);
        let data =
            taken.map(|(covered, (_, label))| if covered >= LEAST_COVER { label } else { 0 });
        Self::new(self.height, self.width, data.collect())
    }
}

impl From<BinaryMask> for LabelMask {
    /// Foreground as label 1.
    fn from(mask: BinaryMask) -> Self {
        Self { height: mask.height(), width: mask.width(), data: mask.into_data() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(data: &[u8]) -> LabelMask {
        LabelMask::new(1, data.len(), data.to_vec()).unwrap()
    }

    #[test]
    fn labels_are_told_apart() {
        let mask = map(&[0, 3, 1, 3, 255]);
        assert_eq!(mask.labels(), [1, 3, 255]);
        assert_eq!(mask.of(3).data(), [0, 1, 0, 1, 0]);
        assert_eq!(mask.foreground().data(), [0, 1, 1, 1, 1]);
        assert_eq!(mask.clone().flip_columns().data(), [255, 3, 1, 3, 0]);
        assert_eq!(mask.map(|v| v / 3).data(), [0, 1, 0, 1, 85]);
        assert!(map(&[0, 0]).is_empty() && LabelMask::new(2, 2, vec![0; 3]).is_err());
        assert_eq!(LabelMask::from(BinaryMask::new(1, 2, vec![0, 7]).unwrap()).data(), [0, 1]);
    }

    #[test]
    fn a_resampled_pixel_takes_the_label_with_the_largest_share() {
        // By hand: each pixel becomes the mean of itself and its right neighbour.
        let blur = |plane: &[u8]| {
            let at = |i: usize| f64::from(plane.get(i).copied().unwrap_or(0));
            (0..plane.len()).map(|i| 0.5 * (at(i) + at(i + 1))).collect()
        };
        // 1+2: half each, the lowest; 2+0: half; 0+0; 0+3: half; 3 and beyond: half.
        assert_eq!(map(&[1, 2, 0, 0, 3]).resampled(blur).unwrap().data(), [1, 2, 0, 3, 3]);
        assert!(map(&[1, 2]).resampled(|_| vec![1.0]).is_err());
    }
}
