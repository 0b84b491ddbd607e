//! Results to look at: slices with their outlines, curves, and one page that holds everything.
//!
//! Nothing here needs the network: pictures are PNG, curves are inline SVG, and the page carries
//! both, with a small script that moves sliders and sorts tables. [`report`] makes it from runs on
//! the disk, [`render_page`] from what is at hand.

mod cases;
mod chart;
mod gallery;
mod group;
mod heat;
mod page;
mod scale;
mod scores;
mod script;
mod study;
mod style;
#[cfg(test)]
mod tests;
mod view;

pub use chart::{dice_svg, loss_svg};
pub use gallery::GalleryConfig;
pub use page::{ReportInput, RunReport, render_page, write_page};
pub use study::{ReportRequest, ReportSummary, RunSource, report};
pub use view::{CaseView, Pick, Picture};

/// What must stand on every page made from phantoms.
pub const PHANTOM_NOTE: &str = "These are phantoms: computed images of ellipsoids with a \
    prostate's rough anatomy, not patients. The numbers show that the program works from end to \
    end and how a plain model drops between sites; they say nothing about real scans.";
