//! Histogram of the levels of processed slices.

use crate::preprocess::SliceImage;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Levels of a processed pixel.
pub const LEVELS: usize = 256;

/// Number of pixels at each level from 0 to 255 over processed slices of grey volumes.
///
/// Level 0 is not counted: it is what lies outside the patient and below the intensity window, and how
/// much of that an image shows says nothing about its scanner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct IntensityHistogram {
    counts: [u64; LEVELS],
}

impl Default for IntensityHistogram {
    /// The histogram of no slice.
    fn default() -> Self {
        Self { counts: [0; LEVELS] }
    }
}

impl IntensityHistogram {
    /// The histogram of all of `images`.
    ///
    /// # Errors
    /// As [`add`](Self::add), and the first error among `images`.
    pub fn of<I>(images: I) -> Result<Self>
    where
        I: IntoIterator<Item = Result<SliceImage>>,
    {
        let mut histogram = Self::default();
        for image in images {
            histogram.add(&image?)?;
        }
        Ok(histogram)
    }

    /// Counts the pixels of one more slice.
    ///
    /// # Errors
    /// [`Error::ColorHistogram`] for a slice in colour.
    pub fn add(&mut self, image: &SliceImage) -> Result<()> {
        if image.channels().len() > 1 {
            return Err(Error::ColorHistogram);
        }
        for &level in image.data.iter().filter(|level| **level > 0) {
            if let Some(count) = self.counts.get_mut(usize::from(level)) {
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Number of pixels at each level; 0 at level 0.
    pub fn counts(&self) -> &[u64; LEVELS] {
        &self.counts
    }

    /// Whether no pixel was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

impl From<IntensityHistogram> for Vec<u64> {
    fn from(histogram: IntensityHistogram) -> Self {
        histogram.counts.to_vec()
    }
}

impl TryFrom<Vec<u64>> for IntensityHistogram {
    type Error = String;

    fn try_from(counts: Vec<u64>) -> Result<Self, String> {
        let found = counts.len();
        let counts: [u64; LEVELS] = counts
            .try_into()
            .map_err(|_| format!("a histogram of {found} levels; expected {LEVELS}"))?;
        if counts.first() != Some(&0) {
            return Err("a histogram with pixels at level 0, which is not counted".to_owned());
        }
        Ok(Self { counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_levels_are_counted_without_zeros() {
        let image = |data: &[u8]| Ok(SliceImage { side: 2, data: data.to_vec() });
        let found = IntensityHistogram::of([image(&[0, 7, 7, 255]), image(&[0, 0, 7, 0])]).unwrap();
        assert_eq!((found.counts()[0], found.counts()[7], found.counts()[255]), (0, 3, 1));
        assert!(!found.is_empty() && IntensityHistogram::default().is_empty());
        let color = IntensityHistogram::of([image(&[1; 12])]).unwrap_err();
        assert!(matches!(color, Error::ColorHistogram), "{color}");
    }

    #[test]
    fn a_stored_histogram_is_read_as_written_and_a_broken_one_refused() {
        let found = IntensityHistogram::of([Ok(SliceImage { side: 1, data: vec![9] })]).unwrap();
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<IntensityHistogram>(&text).unwrap(), found);
        for (broken, words) in [(vec![0; 255], "of 255 levels"), (vec![1; 256], "level 0")] {
            let text = serde_json::to_string(&broken).unwrap();
            let error = serde_json::from_str::<IntensityHistogram>(&text).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
