//! Pictures of slices with the outlines of masks, as PNG.

mod canvas;
mod overlay;

pub use overlay::{
    BORDER_RGB, PREDICTION_RGB, TRUTH_RGB, Tile, montage_png, overlay_png, small_png, tile_png,
};
