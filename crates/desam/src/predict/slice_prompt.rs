//! Prompts of a user for one slice, in the slice's own pixels.

use desam_core::{Point, PointLabel, Prompt, PromptBox};
use desam_data::preprocess::StoredSlice;

/// A user's prompt: foreground and background points, one box, or both.
///
/// Coordinates are pixels of the slice, `x` along its columns and `y` along its rows. A point counts
/// pixel centres: 0 is the centre of the first pixel. A box counts pixel edges: the whole slice is the
/// box from `(0, 0)` to `(width, height)`.
///
/// ```
/// use desam::predict::SlicePrompt;
///
/// let prompt = SlicePrompt::new().with_point(40.0, 52.0).with_background(4.0, 4.0);
/// let boxed = SlicePrompt::new().with_box([30.0, 40.0], [60.0, 70.0]);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SlicePrompt {
    points: Vec<SlicePoint>,
    /// First and last corner.
    bbox: Option<[[f64; 2]; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct SlicePoint {
    at: [f64; 2],
    label: PointLabel,
}

/// A prompt that cannot be used on its slice.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// Neither a point nor a box.
    #[error("empty: give at least one point, or a box")]
    Empty,
    /// A coordinate that is NaN or infinite.
    #[error("({x}, {y}) is not finite")]
    NotFinite {
        /// Column.
        x: f64,
        /// Row.
        y: f64,
    },
    /// A position outside the slice.
    #[error("({x}, {y}) lies outside the slice of {width} × {height} pixels")]
    OutsideImage {
        /// Column.
        x: f64,
        /// Row.
        y: f64,
        /// The slice's columns.
        width: usize,
        /// The slice's rows.
        height: usize,
    },
    /// A point, or a whole box, that preprocessing crops away: the model does not see it.
    #[error("({x}, {y}) lies in the slice, but outside the centre crop that the model sees")]
    OutsideCrop {
        /// Column of the point, or of the box's centre.
        x: f64,
        /// Row of the point, or of the box's centre.
        y: f64,
    },
    /// A box whose first corner is not above and to the left of the last.
    #[error("the box from ({x0}, {y0}) to ({x1}, {y1}) has no area")]
    EmptyBox {
        /// First column.
        x0: f64,
        /// First row.
        y0: f64,
        /// Last column.
        x1: f64,
        /// Last row.
        y1: f64,
    },
}

impl SlicePrompt {
    /// A prompt without points and box.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a foreground point: this pixel belongs to the object.
    #[must_use]
    pub fn with_point(self, x: f64, y: f64) -> Self {
        self.with(x, y, PointLabel::Foreground)
    }

    /// Adds a background point: this pixel does not belong to the object.
    #[must_use]
    pub fn with_background(self, x: f64, y: f64) -> Self {
        self.with(x, y, PointLabel::Background)
    }

    /// Sets the box around the object, from edge to edge: columns 3 to 7 are those from 3.0 to 8.0.
    #[must_use]
    pub fn with_box(self, first: [f64; 2], last: [f64; 2]) -> Self {
        Self { bbox: Some([first, last]), ..self }
    }

    fn with(mut self, x: f64, y: f64, label: PointLabel) -> Self {
        self.points.push(SlicePoint { at: [x, y], label });
        self
    }

    /// The prompt in pixels of the encoder's input of side `side`, through orientation, resampling
    /// and crop.
    pub(super) fn to_input(&self, slice: &StoredSlice, side: usize) -> Result<Prompt, PromptError> {
        if self.points.is_empty() && self.bbox.is_none() {
            return Err(PromptError::Empty);
        }
        let points = self.points.iter().map(|point| {
            let [x, y] = check(point.at, slice, CENTRES)?;
            let position = slice.to_input([x, y]);
            if !position.in_frame {
                return Err(PromptError::OutsideCrop { x, y });
            }
            let [x, y] = position.input.map(|v| v.clamp(0.0, side as f64) as f32);
            Ok(Point { x, y, label: point.label })
        });
        let points = points.collect::<Result<_, _>>()?;
        let bbox = self.bbox.map(|corners| boxed(corners, slice, side as f64)).transpose()?;
        Ok(Prompt { points, bbox })
    }
}

/// Offset of the slice's outer edge from coordinate 0, in pixels: coordinates of points count pixel
/// centres, those of boxes pixel edges.
const CENTRES: f64 = -0.5;
const EDGES: f64 = 0.0;

/// Refuses a position that is not finite or not in the slice, which begins at `start`.
fn check(at: [f64; 2], slice: &StoredSlice, start: f64) -> Result<[f64; 2], PromptError> {
    let [x, y] = at;
    if !(x.is_finite() && y.is_finite()) {
        return Err(PromptError::NotFinite { x, y });
    }
    let (width, height) = (slice.width(), slice.height());
    let inside = |v: f64, pixels: usize| (start..=start + pixels as f64).contains(&v);
    if inside(x, width) && inside(y, height) {
        Ok(at)
    } else {
        Err(PromptError::OutsideImage { x, y, width, height })
    }
}

/// A box in the encoder's input, clipped to it.
fn boxed(corners: [[f64; 2]; 2], slice: &StoredSlice, side: f64) -> Result<PromptBox, PromptError> {
    let [[x0, y0], [x1, y1]] = [check(corners[0], slice, EDGES)?, check(corners[1], slice, EDGES)?];
    if x0 >= x1 || y0 >= y1 {
        return Err(PromptError::EmptyBox { x0, y0, x1, y1 });
    }
    // Orientation may have flipped either axis, or swapped the two.
    let [a, b] = [[x0, y0], [x1, y1]].map(|corner| slice.edge_to_input(corner));
    let first = [a[0].min(b[0]), a[1].min(b[1])];
    let last = [a[0].max(b[0]), a[1].max(b[1])];
    let clip = |v: f64| v.clamp(0.0, side);
    let ([left, top], [right, bottom]) = (first.map(clip), last.map(clip));
    if left >= right || top >= bottom {
        return Err(PromptError::OutsideCrop { x: 0.5 * (x0 + x1), y: 0.5 * (y0 + y1) });
    }
    Ok(PromptBox { x0: left as f32, y0: top as f32, x1: right as f32, y1: bottom as f32 })
}
