//! Overlays: pictures of slices with the outlines of masks.

mod canvas;
#[cfg(feature = "image")]
mod image;
mod overlay;

#[cfg(feature = "image")]
pub use image::overlay_image;
pub use overlay::{
    BORDER_RGB, PREDICTION_RGB, TRUTH_RGB, Tile, montage_png, overlay_png, small_png, tile_png,
};
