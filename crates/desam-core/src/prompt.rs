//! Point and box prompts on the host.

crate::named! {
    /// Label of a point prompt.
    pub enum PointLabel: "point label" {
        /// SAM's label 1: this pixel belongs to the object.
        Foreground = "foreground",
        /// SAM's label 0: it does not.
        Background = "background",
        /// SAM's label -1: padding, not a point.
        Padding = "padding",
    }
}

/// A point in pixels of the encoder's input square; pixel centres lie at whole numbers plus a half
/// once the prompt encoder has added its 0.5 (SAM's convention, kept).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Column, to the right, in input pixels.
    pub x: f32,
    /// Row, downwards, in input pixels.
    pub y: f32,
    /// Foreground, background or padding.
    pub label: PointLabel,
}

impl Point {
    /// A foreground point.
    pub fn foreground(x: f32, y: f32) -> Self {
        Self { x, y, label: PointLabel::Foreground }
    }
}

/// An axis-aligned box in pixels of the encoder's input square.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptBox {
    /// Left.
    pub x0: f32,
    /// Top.
    pub y0: f32,
    /// Right.
    pub x1: f32,
    /// Bottom.
    pub y1: f32,
}

/// One prompt for one image.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Points, any number.
    #[serde(default)]
    pub points: Vec<Point>,
    /// At most one box.
    #[serde(default)]
    pub bbox: Option<PromptBox>,
}

impl Prompt {
    /// A prompt of one point.
    pub fn point(point: Point) -> Self {
        Self { points: vec![point], bbox: None }
    }

    /// A prompt of one box.
    pub fn boxed(bbox: PromptBox) -> Self {
        Self { points: Vec::new(), bbox: Some(bbox) }
    }
}
