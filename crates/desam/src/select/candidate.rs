//! Input and output of mask selection.

use desam_core::{BinaryMask, Point};

/// Mask logits that were decoded for one grid point.
#[derive(Debug, Clone, Copy)]
pub struct MaskCandidate<'a> {
    /// The point, in pixels of the encoder's input.
    pub point: Point,
    /// Predicted IoU, without a sigmoid.
    pub predicted_iou: f32,
    /// Mask logits, `M × M`, row by row.
    pub logits: &'a [f32],
}

/// A selected mask.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedMask {
    /// Index of the candidate, from 0.
    pub candidate: usize,
    /// Its point, `[x, y]` in image pixels.
    pub point: [f64; 2],
    /// Predicted IoU, without a sigmoid.
    pub predicted_iou: f32,
    /// Stability score: IoU of the masks at logit thresholds `stability_offset` and
    /// `−stability_offset`, before small regions were removed; 0 where nothing is above the lower one
    /// (the official program divides 0 by 0 there). Recorded, not used: the official program switches
    /// this filter off.
    pub stability: f32,
    /// Left, top, width and height of the mask in image pixels; width and height are differences
    /// of the first and last foreground column and row.
    pub bbox_xywh: [f32; 4],
    /// Foreground pixels.
    pub area: usize,
    /// The mask, on the image's grid.
    pub mask: BinaryMask,
}
