//! What `desam predict` does with masks and writes beside them when asked.

use super::one_of;
use clap::Args;
use desam::data::postprocess::{Holes, PostprocessConfig};
use desam::predict::{PredictOptions, SliceChoice};

/// What is done with masks and written beside them; nothing of it unless it is asked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "The mask, and what goes beside it")]
pub(super) struct Extras {
    /// Keep the largest connected part of the mask, in 3-D; voxels that touch by a corner are
    /// connected
    #[arg(long)]
    largest_component: bool,

    /// Fill holes of the mask, after --largest-component: volume, what is closed on all sides
    /// [the default of the bare flag]; slices, what is closed within its slice
    #[arg(long, value_name = "WHERE", num_args = 0..=1, default_missing_value = "volume",
        value_parser = one_of::<Holes>(&["volume", "slices"]))]
    fill_holes: Option<Holes>,

    /// Write NAME.probability.nii.gz: f32 from 0 to 1 on the volume's grid, before small regions
    /// are removed; 0 on slices without a mask
    #[arg(long)]
    save_probability: bool,

    /// Write NAME.iou.nii.gz: the IoU that the model predicts for the point of the grid whose cell
    /// a voxel lies in, f32 on the volume's grid
    #[arg(long)]
    save_iou_map: bool,

    /// Write NAME.sliceNNN.png: slices with the outline of the mask; all, the middle one of those
    /// with a mask, or a list, counted from 0 as the volume is stored
    #[arg(long, value_name = "all|middle|3,7,12")]
    overlay: Option<SliceChoice>,

    /// Write NAME.json: millilitres, bounding box in voxels and mm, slices with a mask, predicted
    /// IoUs, the settings, and the model by its hash
    #[arg(long)]
    save_json: bool,
}

impl Extras {
    pub(super) fn options(&self) -> PredictOptions {
        let postprocess = PostprocessConfig {
            largest_component: self.largest_component,
            fill_holes: self.fill_holes,
        };
        PredictOptions::default()
            .with_postprocess(postprocess)
            .with_probability(self.save_probability)
            .with_iou_map(self.save_iou_map)
            .with_overlay(self.overlay.clone())
            .with_json(self.save_json)
    }
}
