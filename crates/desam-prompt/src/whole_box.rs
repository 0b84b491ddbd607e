//! Box prompt of the whole image, for whole box mode.

use crate::Result;
use crate::error::check_side;
use desam_core::PromptBox;

/// The prompt of whole box mode: `(0, 0, S, S)` in pixels of an encoder input of side `S`, as the
/// official program passes it (`[0, 0, 1024, 1024]`).
///
/// # Errors
/// When `side` is not a finite number above 0.
pub fn whole_box(side: f32) -> Result<PromptBox> {
    check_side(side)?;
    Ok(PromptBox { x0: 0.0, y0: 0.0, x1: side, y1: side })
}
