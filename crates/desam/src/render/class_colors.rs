//! Colours of outlines, by class.

use desam_volume::SEGMENT_RGB;

/// Colour of a prediction's outline where there is one class: orange, as in the official program's
/// pictures.
pub const PREDICTION_RGB: [u8; 3] = SEGMENT_RGB[0];
/// Colour of the ground truth's outline where there is one class: blue, as in the official program's
/// pictures.
pub const TRUTH_RGB: [u8; 3] = TRUTHS_RGB[0];

/// Colours of the ground truth's outlines: after the first a lighter or darker shade of the prediction's.
const TRUTHS_RGB: [[u8; 3]; SEGMENT_RGB.len()] = [
    [30, 144, 255],
    [0, 140, 125],
    [150, 60, 165],
    [165, 160, 60],
    [255, 175, 140],
    [185, 190, 255],
    [150, 240, 165],
    [240, 130, 175],
];

/// Colours of the outlines of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassColors {
    /// The prediction's, which is also the colour of its segment in files that carry colours
    /// ([`SEGMENT_RGB`]).
    pub prediction: [u8; 3],
    /// The ground truth's.
    pub truth: [u8; 3],
}

/// The colours of class `class`, from 1; the ninth has those of the first.
///
/// ```
/// use desam::render::{PREDICTION_RGB, TRUTH_RGB, class_colors};
///
/// let first = class_colors(1);
/// assert_eq!((first.prediction, first.truth), (PREDICTION_RGB, TRUTH_RGB));
/// ```
pub fn class_colors(class: usize) -> ClassColors {
    let index = class.saturating_sub(1) % SEGMENT_RGB.len();
    ClassColors { prediction: SEGMENT_RGB[index], truth: TRUTHS_RGB[index] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::BORDER_RGB;
    use std::collections::BTreeSet;

    #[test]
    fn eight_classes_have_sixteen_colors() {
        let colors = (1..=8).map(class_colors).flat_map(|c| [c.prediction, c.truth]);
        let all: BTreeSet<_> = colors.chain([BORDER_RGB]).collect();
        assert_eq!(all.len(), 17);
        // Grey is the image.
        assert!(all.iter().all(|[r, g, b]| r != g || g != b));
        assert_eq!(class_colors(9), class_colors(1));
        // As in the official program's pictures.
        assert_eq!((PREDICTION_RGB, TRUTH_RGB), ([255, 165, 0], [30, 144, 255]));
    }
}
