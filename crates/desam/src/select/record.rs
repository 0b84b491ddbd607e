//! What goes into the selection rule, and what comes out.

use desam_core::{BinaryMask, Point};

/// A mask that the decoder drew for one point of the grid.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The point, in pixels of the encoder's input.
    pub point: Point,
    /// What PRIM expects of it.
    pub predicted_iou: f32,
    /// Mask logits, `M × M`, row by row.
    pub logits: &'a [f32],
}

/// A mask that was selected.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which candidate it was, from 0.
    pub candidate: usize,
    /// Its point, `[x, y]` in image pixels.
    pub point: [f64; 2],
    /// What PRIM expected of it.
    pub predicted_iou: f32,
    /// IoU of its logits thresholded `stability_offset` above and below 0, before small regions
    /// were removed; 0 where there is nothing above the lower one (the official program divides
    /// 0 by 0 there). Recorded, not used: the official program switched its filter off.
    pub stability: f32,
    /// Left, top, width and height of the mask in image pixels; width and height are differences
    /// of the first and last foreground column and row.
    pub bbox_xywh: [f32; 4],
    /// Foreground pixels.
    pub area: usize,
    /// The mask, on the image's grid.
    pub mask: BinaryMask,
}
