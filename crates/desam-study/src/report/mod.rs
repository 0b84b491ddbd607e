//! Reports: one self-contained HTML page with scores, training curves and slices with outlines.
//!
//! The page loads nothing from the network: pictures are inline PNG, curves inline SVG, and a small script
//! moves sliders and sorts tables. [`report`] makes it from runs on disk, [`render_page`] from values in
//! memory.

mod axis;
mod case_renderer;
mod cases;
mod chart;
mod class_table;
mod heat;
mod page;
mod run_group;
mod run_report;
mod scores;
mod script;
mod study;
mod style;
#[cfg(test)]
mod tests;
mod view;

pub use case_renderer::GalleryConfig;
pub use chart::{dice_svg, loss_svg};
pub use page::{ReportInput, render_page, write_page};
pub use run_report::RunReport;
pub use study::{ReportRequest, ReportSummary, RunSource, report};
pub use view::{CaseRank, CaseView, Picture};

/// Notice for every page made from phantoms.
pub const PHANTOM_NOTE: &str = "These are phantoms: computed images of ellipsoids with a \
    prostate's rough anatomy, not patients. The numbers show that the program works from end to \
    end and how a plain model drops between sites; they say nothing about real scans.";
