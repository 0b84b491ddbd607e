//! The classes of a slice's pixels, from the predictions of each class.

use super::ClassPrediction;
use crate::{Error, Result};
use desam_core::{ClassMask, LabelMask};
use desam_data::preprocess::ClassPlane;

/// The class of each pixel: of the classes whose mask covers it the one with the largest logit, the first of
/// equals. `classes` has the prediction of each class, in the order of the model's table; a mask without
/// logits counts as one of logit 1.
///
/// # Errors
/// When there is no class, or their masks differ in size.
pub fn class_map(classes: &[ClassPrediction]) -> Result<ClassMask> {
    let Some((first, _)) = classes.first() else {
        return Err(Error::Invalid("a decoder has at least one class".into()));
    };
    let (height, width) = (first.mask.height(), first.mask.width());
    let mut best = vec![(f32::NEG_INFINITY, 0_u8); height * width];
    for ((prediction, evidence), class) in classes.iter().zip(1..) {
        let mask = &prediction.mask;
        if (mask.height(), mask.width()) != (height, width) {
            let found = (mask.height(), mask.width());
            return Err(desam_core::Error::shape("mask", (height, width), found).into());
        }
        for (n, (best, inside)) in best.iter_mut().zip(mask.data()).enumerate() {
            // A filled hole has negative logits and belongs to the mask, unless another class is there.
            let logit = evidence.logits.get(n).copied().unwrap_or(1.0).max(0.0);
            if *inside > 0 && logit > best.0 {
                *best = (logit, class);
            }
        }
    }
    let data = best.into_iter().map(|(_, class)| class).collect();
    Ok(ClassMask::new(LabelMask::new(height, width, data)?, classes.len())?)
}

/// The masks and logits of each class, to be brought to a volume's grid
/// ([`SmoothMask`](desam_data::preprocess::SmoothMask)).
pub fn class_planes(classes: &[ClassPrediction]) -> Vec<ClassPlane<'_>> {
    let plane = |(mask, logits)| ClassPlane { mask, logits };
    let parts = classes.iter().map(|(slice, evidence)| (&slice.mask, evidence.logits.as_slice()));
    parts.map(plane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::{SliceEvidence, SlicePrediction};
    use desam_core::BinaryMask;

    fn class(mask: &[u8], logits: &[f32]) -> (SlicePrediction, SliceEvidence) {
        let mask = BinaryMask::new(1, mask.len(), mask.to_vec()).unwrap();
        let prediction = SlicePrediction::of_mask(mask);
        (prediction, SliceEvidence { ious: Vec::new(), logits: logits.to_vec(), drawn: 1 })
    }

    #[test]
    fn the_largest_logit_of_the_masks_that_cover_a_pixel_wins() {
        // By hand: neither, the first alone, both with the second larger, the second alone although the
        // first has the larger logit, equal logits.
        let first = class(&[0, 1, 1, 0, 1], &[-1.0, 2.0, 1.0, 5.0, 2.0]);
        let second = class(&[0, 0, 1, 1, 1], &[-3.0, -1.0, 1.5, 0.5, 2.0]);
        let map = class_map(&[first.clone(), second]).unwrap();
        assert_eq!((map.classes(), map.map().data()), (2, &[0, 1, 2, 2, 1][..]));
        // A hole of negative logits that was filled, and a mask without logits: the hole is the other's.
        let filled = class(&[1, 1, 1], &[-4.0, 2.0, -4.0]);
        let map = class_map(&[class(&[1, 1, 0], &[]), filled]).unwrap();
        assert_eq!(map.map().data(), [1, 2, 2]);
        assert!(class_map(&[]).is_err() && class_map(&[first, class(&[1], &[])]).is_err());
    }
}
