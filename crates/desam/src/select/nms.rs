//! Bounding boxes of masks, and their non-maximum suppression (NMS).

use desam_core::{BinaryMask, PromptBox};

/// Tight bounding box of a mask, `(0, 0, 0, 0)` for an empty one (SAM's `batched_mask_to_box`).
pub(super) fn bounding_box(mask: &BinaryMask) -> PromptBox {
    mask.bounding_box().unwrap_or(PromptBox { x0: 0.0, y0: 0.0, x1: 0.0, y1: 0.0 })
}

/// Left, top, width, height. The right and bottom edges are the last foreground column and row,
/// so a mask of one pixel has width and height 0.
pub(super) fn xywh(b: PromptBox) -> [f32; 4] {
    [b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0]
}

/// Non-maximum suppression: indices of the boxes that no better one overlaps with an IoU above
/// `threshold`, best first; equal scores in the given order (torchvision's `nms` on the CPU, in its
/// f32 arithmetic).
///
/// Two boxes without area have an IoU of 0 / 0, NaN, which is above no threshold: both are kept.
pub(super) fn nms(boxes: &[PromptBox], scores: &[f32], threshold: f64) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for index in best_first(scores) {
        if !kept.iter().any(|&better| overlaps(&boxes[better], &boxes[index], threshold)) {
            kept.push(index);
        }
    }
    kept
}

/// Indices by descending score; equal scores in the given order.
pub(super) fn best_first(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// Whether two boxes count as the same object.
pub(super) fn overlaps(better: &PromptBox, other: &PromptBox, threshold: f64) -> bool {
    f64::from(iou(better, other)) > threshold
}

fn iou(a: &PromptBox, b: &PromptBox) -> f32 {
    let area = |b: &PromptBox| (b.x1 - b.x0) * (b.y1 - b.y0);
    let width = (a.x1.min(b.x1) - a.x0.max(b.x0)).max(0.0);
    let height = (a.y1.min(b.y1) - a.y0.max(b.y0)).max(0.0);
    let overlap = width * height;
    overlap / (area(a) + area(b) - overlap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn boxed(x0: f32, y0: f32, x1: f32, y1: f32) -> PromptBox {
        PromptBox { x0, y0, x1, y1 }
    }

    #[test]
    fn bounding_box_of_masks_by_hand() {
        // Foreground at (row 1, column 2) and (row 2, column 0) of 3 × 4.
        let mask = BinaryMask::new(3, 4, vec![0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0]).unwrap();
        assert_eq!(xywh(bounding_box(&mask)), [0.0, 1.0, 2.0, 1.0]);
        assert_eq!(xywh(bounding_box(&BinaryMask::empty(3, 4))), [0.0; 4]);
        let pixel = BinaryMask::new(2, 2, vec![0, 0, 0, 1]).unwrap();
        assert_eq!(xywh(bounding_box(&pixel)), [1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_better_box_stays_and_ties_keep_their_order() {
        let a = boxed(0.0, 0.0, 10.0, 10.0);
        let far = boxed(50.0, 50.0, 60.0, 60.0);
        assert_eq!(nms(&[a, a, far], &[0.6, 0.9, 0.7], 0.7), [1, 2]);
        assert_eq!(nms(&[a, far, a], &[0.6, 0.6, 0.6], 0.7), [0, 1]);
        assert_eq!(nms(&[], &[], 0.7), [0usize; 0]);
    }

    #[test]
    fn only_an_iou_above_the_threshold_suppresses() {
        let a = boxed(0.0, 0.0, 10.0, 10.0);
        // Arithmetic: half of it, IoU 50 / 100 exactly.
        let half = boxed(0.0, 0.0, 10.0, 5.0);
        assert_eq!(nms(&[a, half], &[1.0, 0.5], 0.5), [0, 1]);
        assert_eq!(nms(&[a, half], &[1.0, 0.5], 0.49), [0]);
    }

    #[test]
    fn a_suppressed_box_suppresses_nothing() {
        // Arithmetic: shifted by 1 of 10, IoU of neighbours 9 / 11 = 0.82, of the ends 8 / 12.
        let boxes = [0.0, 1.0, 2.0].map(|x| boxed(x, 0.0, x + 10.0, 10.0));
        assert_eq!(nms(&boxes, &[0.9, 0.8, 0.7], 0.7), [0, 2]);
    }

    #[test]
    fn boxes_without_area_leave_one_another_alone() {
        let line = boxed(3.0, 3.0, 3.0, 9.0);
        assert_eq!(nms(&[line, line], &[0.5, 0.6], 0.7), [1, 0]);
    }

    #[test]
    fn what_is_kept_is_apart_and_what_is_not_has_a_better_neighbour() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..100 {
            let n = rng.random_range(0..40);
            let mut number = |least: u8, most: u8| f32::from(rng.random_range(least..=most));
            let boxes: Vec<_> = (0..n)
                .map(|_| {
                    let (x, y) = (number(0, 20), number(0, 20));
                    boxed(x, y, x + number(0, 15), y + number(0, 15))
                })
                .collect();
            let scores: Vec<f32> = (0..n).map(|_| number(0, 9) / 8.0).collect();
            let kept = nms(&boxes, &scores, 0.4);
            assert!(
                kept.windows(2).all(|w| scores[w[0]] > scores[w[1]]
                    || (scores[w[0]] == scores[w[1]] && w[0] < w[1]))
            );
            let clash = |a: usize, b: usize| f64::from(iou(&boxes[a], &boxes[b])) > 0.4;
            for (i, &a) in kept.iter().enumerate() {
                assert!(kept[..i].iter().all(|&b| !clash(a, b)));
            }
            for lost in (0..n).filter(|i| !kept.contains(i)) {
                assert!(kept.iter().any(|&k| clash(k, lost) && scores[k] >= scores[lost]));
            }
        }
    }
}
