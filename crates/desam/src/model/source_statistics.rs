//! Statistics of the training cases.

use super::ValueRange;
use desam_data::preprocess::IntensityHistogram;
use serde::{Deserialize, Serialize};

/// Factor beyond the training cases' range from which a structure's volume is implausible: an organ of
/// half or twice the size may be a patient's, but is worth a look.
const VOLUME_FACTOR: f64 = 2.0;

/// The same of a spacing: slices as thick or pixels as large as that were not trained on.
const SPACING_FACTOR: f64 = 1.5;

/// Statistics of the cases that a model was trained on, with which a new volume is compared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SourceStatistics {
    /// Levels of all their processed slices; `None` of images in colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<IntensityHistogram>,
    /// Volume of the structure, in ml. This and the next two are `None` where the label files could not be
    /// read when the model was trained, and of two-dimensional images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure_ml: Option<ValueRange>,
    /// Spacing within slices, of columns and of rows, in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_mm: Option<ValueRange>,
    /// Distance between slices, in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_mm: Option<ValueRange>,
}

/// Measurements of a volume and of its mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeMeasurements {
    /// Volume of the structure, in ml.
    pub structure_ml: f64,
    /// Distances between columns, rows and slices, in mm.
    pub spacing_mm: [f64; 3],
}

impl SourceStatistics {
    /// Sets [`histogram`](Self::histogram).
    #[must_use]
    pub fn with_histogram(self, histogram: Option<IntensityHistogram>) -> Self {
        Self { histogram, ..self }
    }

    /// Sets the ranges from the measurements of all training cases.
    #[must_use]
    pub fn with_ranges(self, cases: &[VolumeMeasurements]) -> Self {
        let pixels = cases.iter().flat_map(|case| [case.spacing_mm[0], case.spacing_mm[1]]);
        Self {
            structure_ml: ValueRange::of(cases.iter().map(|case| case.structure_ml)),
            pixel_mm: ValueRange::of(pixels),
            slice_mm: ValueRange::of(cases.iter().map(|case| case.spacing_mm[2])),
            ..self
        }
    }

    /// Warnings about a volume that is unlike those the model was trained on, a sentence each: a structure
    /// more than twice as large or less than half as large, a spacing beyond one and a half times. An empty
    /// mask is not measured.
    pub fn warnings(&self, found: &VolumeMeasurements) -> Vec<String> {
        let ml = found.structure_ml;
        let size = self.structure_ml.filter(|range| ml > 0.0 && !range.holds(ml, VOLUME_FACTOR));
        let [column, row, slice] = found.spacing_mm;
        let outside = |range: &ValueRange, mm: &f64| !range.holds(*mm, SPACING_FACTOR);
        let pixel = self.pixel_mm.and_then(|range| {
            let mm = [column, row].into_iter().find(|mm| outside(&range, mm))?;
            Some((range, mm))
        });
        let slice =
            self.slice_mm.filter(|range| outside(range, &slice)).map(|range| (range, slice));
        let size = size.map(|range| {
            format!("the mask has {ml:.1} ml; in the training cases the structure had {range} ml")
        });
        let pixel = pixel.map(|(range, mm)| {
            format!("its pixels are {mm:.2} mm wide; in the training cases they were {range:.2} mm")
        });
        let slice = slice.map(|(range, mm)| {
            format!(
                "its slices are {mm:.2} mm apart; in the training cases they were {range:.2} mm"
            )
        });
        [size, pixel, slice].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(structure_ml: f64, spacing_mm: [f64; 3]) -> VolumeMeasurements {
        VolumeMeasurements { structure_ml, spacing_mm }
    }

    #[test]
    fn volumes_unlike_the_training_cases_are_warned_of() {
        let cases = [measured(3.0, [1.0, 1.0, 1.0]), measured(4.0, [0.8, 1.2, 1.0])];
        let statistics = SourceStatistics::default().with_ranges(&cases);
        assert_eq!(statistics.pixel_mm, Some(ValueRange { min: 0.8, max: 1.2 }));
        // Ranges to 1.5 and 8 ml, 0.53 and 1.8 mm, 0.67 and 1.5 mm, by hand.
        assert!(statistics.warnings(&measured(8.0, [0.6, 1.75, 1.5])).is_empty());
        assert!(statistics.warnings(&measured(0.0, [1.0; 3])).is_empty());
        let prostate = statistics.warnings(&measured(326.0, [0.5, 1.0, 3.6]));
        assert_eq!(
            prostate,
            [
                "the mask has 326.0 ml; in the training cases the structure had 3.0 to 4.0 ml",
                "its pixels are 0.50 mm wide; in the training cases they were 0.80 to 1.20 mm",
                "its slices are 3.60 mm apart; in the training cases they were 1.00 mm",
            ]
        );
        assert!(SourceStatistics::default().warnings(&measured(1e9, [9.0; 3])).is_empty());
    }
}
