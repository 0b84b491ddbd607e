//! Preprocessing: orientation, resampling, percentile clipping and cropping of volumes for the encoder,
//! and restoring masks to the volume's own grid.
//!
//! A volume's intensities become whole numbers from 0 to 255 (as SAM's encoder was trained on),
//! its axial slices become square images whatever the order in which its axes are stored, and these
//! are enlarged to the encoder's input as SAM does. Two presets: what the paper describes, and what the official program does.

mod axis;
#[cfg(test)]
mod color_tests;
mod config;
mod enlarge;
mod histogram;
mod image;
mod intensity;
mod linear;
mod mask_grid;
#[cfg(test)]
mod orders;
mod orient;
mod plausibility;
mod positive_window;
mod prepared;
mod resample;
#[cfg(test)]
mod resampling;
mod restore;
mod restore_logits;
mod round_trip;
mod slice_geometry;
pub(crate) mod spline;
mod stored_slice;
mod targets;
#[cfg(test)]
mod tests;
mod view;

pub use config::{Frame, LabelRule, PreprocessConfig, SPACING_MM};
pub use histogram::{
    IntensityHistogram, LEVELS, MatchingTable, NyulConfig, NyulScale, SourceDistribution, clip_ct,
    match_cdf, scale_mr,
};
pub use image::SliceImage;
pub(crate) use image::normalised;
pub use intensity::IntensityWindow;
pub(crate) use intensity::percentile;
pub use orient::Orientation;
pub(crate) use plausibility::{RESAMPLED_IMAGE, spacing as spacing_warning};
pub use positive_window::clip_positive;
pub use prepared::PreparedVolume;
pub use restore::{Interpolation, VoxelMap};
pub use restore_logits::{ClassPlane, SmoothMask};
pub use round_trip::{LabelRoundTrip, MAX_ROUND_TRIP_LOSS, SiteRoundTrip, TracedLabels};
pub use stored_slice::{InputPosition, StoredSlice};
pub use view::SliceView;
