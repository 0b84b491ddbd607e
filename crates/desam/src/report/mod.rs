//! Results to look at: slices with their outlines, curves, and one page that holds everything.
//!
//! Nothing here needs a browser's scripts or the network: pictures are PNG, curves are inline SVG,
//! and the page carries both.

mod canvas;
mod chart;
mod overlay;
mod page;
mod scale;
mod style;

pub use chart::{dice_svg, loss_svg};
pub use overlay::{PREDICTION_RGB, TRUTH_RGB, Tile, montage_png, overlay_png};
pub use page::{Picture, ReportInput, render_page, write_page};

/// What must stand on every page made from phantoms.
pub const PHANTOM_NOTE: &str = "These are phantoms: computed images of ellipsoids with a \
    prostate's rough anatomy, not patients. The numbers show that the program works from end to \
    end and how a plain model drops between sites; they say nothing about real scans.";
