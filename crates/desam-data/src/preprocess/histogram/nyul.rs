//! Nyúl's intensity standardisation: piecewise linear between percentile landmarks.

use crate::preprocess::percentile;
use crate::{Error, Result};

/// Landmarks and the range of a standard scale.
#[derive(Debug, Clone, PartialEq)]
pub struct NyulConfig {
    /// Percentiles of the voxels above 0 that are landmarks, rising, at least two.
    pub percentiles: Vec<f64>,
    /// Standard values of the first and the last landmark, rising.
    pub range: [f64; 2],
}

impl Default for NyulConfig {
    /// The percentiles 1, 10, 20 … 90, 99 on a scale from 1 to 100, as in the package
    /// `intensity-normalization`.
    fn default() -> Self {
        let tens = (1..10).map(|ten| f64::from(ten) * 10.0);
        let percentiles = std::iter::once(1.0).chain(tens).chain([99.0]).collect();
        Self { percentiles, range: [1.0, 100.0] }
    }
}

impl NyulConfig {
    /// Checks that landmarks and range rise.
    ///
    /// # Errors
    /// [`Error::Landmarks`] when they do not, or a percentile is not one.
    pub fn validate(&self) -> Result<()> {
        let Self { percentiles, range: [low, high] } = self;
        let inside = percentiles.iter().all(|p| (0.0..=100.0).contains(p));
        let rising = percentiles.iter().zip(percentiles.iter().skip(1)).all(|(a, b)| a < b);
        if percentiles.len() < 2 || !inside || !rising {
            let reason =
                format!("percentiles {percentiles:?}: expected two or more from 0 to 100, rising");
            return Err(Error::Landmarks(reason));
        }
        if !(low < high && low.is_finite() && high.is_finite()) {
            let reason = format!("range {low} to {high}: expected two rising numbers");
            return Err(Error::Landmarks(reason));
        }
        Ok(())
    }
}

/// A standard scale: the landmarks of the training images, averaged.
///
/// ```
/// use desam_data::preprocess::{NyulConfig, NyulScale};
///
/// # fn main() -> Result<(), desam_data::Error> {
/// let config = NyulConfig { percentiles: vec![0.0, 50.0, 100.0], range: [0.0, 10.0] };
/// // Landmarks 1, 3 and 5, background left out.
/// let scale = NyulScale::fit([&[0.0, 1.0, 3.0, 5.0][..]], &config)?;
/// assert_eq!(scale.standard(), [0.0, 5.0, 10.0]);
/// // The background follows the first segment.
/// assert_eq!(scale.apply(&[0.0, 10.0, 20.0, 60.0])?, [-5.0, 0.0, 5.0, 10.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NyulScale {
    percentiles: Vec<f64>,
    standard: Vec<f64>,
}

impl NyulScale {
    /// Averages the landmarks of all `images`, each mapped linearly so that its first and last landmark
    /// are the ends of the range.
    ///
    /// # Errors
    /// [`Error::Landmarks`] when the configuration is not valid, there is no image, or one has no two
    /// different values above 0, or a value that is not finite.
    pub fn fit<'a>(
        images: impl IntoIterator<Item = &'a [f32]>,
        config: &NyulConfig,
    ) -> Result<Self> {
        config.validate()?;
        let [low, high] = config.range;
        let mut sums = vec![0.0; config.percentiles.len()];
        let mut count = 0_usize;
        for image in images {
            let landmarks = landmarks(image, &config.percentiles)?;
            let [first, last] = ends(&landmarks)?;
            let slope = (high - low) / (last - first);
            for (sum, landmark) in sums.iter_mut().zip(landmarks) {
                *sum += slope * (landmark - first) + low;
            }
            count += 1;
        }
        if count == 0 {
            return Err(Error::Landmarks("no training image; expected at least one".into()));
        }
        let standard = sums.into_iter().map(|sum| sum / count as f64).collect();
        Ok(Self { percentiles: config.percentiles.clone(), standard })
    }

    /// The standard value of each landmark.
    pub fn standard(&self) -> &[f64] {
        &self.standard
    }

    /// The image on the standard scale: linear between its landmarks, the first and the last segment
    /// extended. Values up to 0 are no part of the landmarks, but are mapped too. Landmarks that are equal,
    /// as in an image with many saturated voxels, count as one, with the mean of their standard values.
    ///
    /// # Errors
    /// [`Error::Landmarks`] when the image has no two different landmarks, or a value that is not finite.
    pub fn apply(&self, image: &[f32]) -> Result<Vec<f64>> {
        let landmarks = landmarks(image, &self.percentiles)?;
        ends(&landmarks)?;
        let points = merged(&landmarks, &self.standard);
        let at = |value: &f32| extended(f64::from(*value), &points);
        Ok(image.iter().map(at).collect())
    }
}

/// Percentiles of the values above 0.
fn landmarks(image: &[f32], percentiles: &[f64]) -> Result<Vec<f64>> {
    if let Some(value) = image.iter().find(|value| !value.is_finite()) {
        let reason = format!("an image holds {value}; expected finite values");
        return Err(Error::Landmarks(reason));
    }
    let mut values: Vec<f32> = image.iter().copied().filter(|value| *value > 0.0).collect();
    Ok(percentiles.iter().map(|p| percentile(&mut values, *p)).collect())
}

/// The first and the last landmark, which must differ.
fn ends(landmarks: &[f64]) -> Result<[f64; 2]> {
    match (landmarks.first(), landmarks.last()) {
        (Some(first), Some(last)) if first < last => Ok([*first, *last]),
        _ => Err(Error::Landmarks(format!(
            "an image has the same value {} at its first and last landmark; expected two different \
             values above 0",
            landmarks.first().copied().unwrap_or_default()
        ))),
    }
}

/// A landmark and its standard value.
type Point = [f64; 2];

/// Rising landmarks with their standard values, equal ones merged.
fn merged(landmarks: &[f64], standard: &[f64]) -> Vec<Point> {
    let mut points: Vec<(Point, f64)> = Vec::with_capacity(landmarks.len());
    for (landmark, value) in landmarks.iter().zip(standard) {
        match points.last_mut() {
            Some(([at, sum], count)) if at == landmark => {
                *sum += value;
                *count += 1.0;
            }
            _ => points.push(([*landmark, *value], 1.0)),
        }
    }
    points.into_iter().map(|([at, sum], count)| [at, sum / count]).collect()
}

/// The piecewise linear function through `points` at `x`, its end segments extended.
fn extended(x: f64, points: &[Point]) -> f64 {
    // As in scipy's `interp1d`, a landmark belongs to the segment below it.
    let above = points.partition_point(|[at, _]| *at < x);
    let above = above.clamp(1, points.len().saturating_sub(1).max(1));
    match (points.get(above - 1), points.get(above)) {
        (Some([x0, y0]), Some([x1, y1])) => (y1 - y0) / (x1 - x0) * (x - x0) + y0,
        _ => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NyulConfig {
        NyulConfig { percentiles: vec![0.0, 25.0, 50.0, 100.0], range: [0.0, 1.0] }
    }

    #[test]
    fn the_standard_scale_is_the_mean_of_the_images_landmarks() {
        // By hand: landmarks 1 2 3 5 and 10 20 30 90, as shares of 1 to 5 and of 10 to 90.
        let images = [&[1.0, 2.0, 3.0, 4.0, 5.0, 0.0][..], &[10.0, 20.0, 30.0, 50.0, 90.0]];
        let scale = NyulScale::fit(images, &config()).unwrap();
        assert_eq!(scale.standard(), [0.0, (0.25 + 0.125) / 2.0, (0.5 + 0.25) / 2.0, 1.0]);
    }

    #[test]
    fn equal_landmarks_are_merged() {
        let scale = NyulScale::fit([&[1.0, 2.0, 3.0, 4.0, 5.0][..]], &config()).unwrap();
        // Landmarks 1 1 1 3 of a saturated image: 1 takes the mean of 0, 0.25 and 0.5.
        let found = scale.apply(&[1.0, 1.0, 1.0, 1.0, 3.0]).unwrap();
        assert_eq!(found, [0.25, 0.25, 0.25, 0.25, 1.0]);
    }

    #[test]
    fn images_without_landmarks_are_refused() {
        let scale = NyulScale::fit([&[1.0, 5.0][..]], &config()).unwrap();
        for (image, words) in [
            (&[0.0, 0.0][..], "two different values above 0"),
            (&[7.0, 7.0], "same value 7"),
            (&[1.0, f32::NAN], "NaN"),
        ] {
            let error = scale.apply(image).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(NyulScale::fit([image], &config()).is_err());
        }
        assert!(NyulScale::fit([], &config()).is_err());
        for bad in [
            NyulConfig { percentiles: vec![50.0], ..config() },
            NyulConfig { percentiles: vec![50.0, 10.0], ..config() },
            NyulConfig { percentiles: vec![0.0, 101.0], ..config() },
            NyulConfig { range: [1.0, 1.0], ..config() },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
