//! Overlays: pictures of slices with the outlines of masks.

mod canvas;
mod class_colors;
#[cfg(feature = "image")]
mod image;
mod outline;
mod overlay;

pub use class_colors::{ClassColors, PREDICTION_RGB, TRUTH_RGB, class_colors};
#[cfg(feature = "image")]
pub use image::overlay_image;
pub use overlay::{BORDER_RGB, Tile, montage_png, overlay_png, small_png, tile_png};
