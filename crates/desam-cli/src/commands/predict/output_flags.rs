//! Post-processing of masks, and optional output files.

use crate::commands::values::enum_values;
use clap::Args;
use desam::data::postprocess::{Holes, PostprocessConfig};
use desam::data::preprocess::Interpolation;
use desam::predict::{PredictOptions, SliceChoice};

/// Flags of the written mask, of post-processing and of additional output files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Mask, post-processing and additional files")]
pub(super) struct OutputFlags {
    /// Interpolation of the mask on the volume's own grid. linear: of the logits, before they are
    /// thresholded, so that the outline is smooth. nearest: each voxel takes the nearest mask pixel
    /// [default: linear; nearest for models with the official program's preprocessing]
    #[arg(long, value_name = "HOW", value_parser = enum_values::<Interpolation>())]
    mask_interpolation: Option<Interpolation>,

    /// Keep only the largest connected component of the mask in 3-D (26-connectivity)
    #[arg(long)]
    largest_component: bool,

    /// Fill holes of the mask, after --largest-component. volume: holes enclosed in 3-D [default
    /// without a value]. slices: holes enclosed within a slice
    #[arg(long, value_name = "WHERE", num_args = 0..=1, default_missing_value = "volume",
        value_parser = enum_values::<Holes>())]
    fill_holes: Option<Holes>,

    /// Write NAME.probability.nii.gz (.tif for an image): foreground probability on the volume's grid,
    /// f32 from 0 to 1, before small regions are removed; 0 on slices without a mask
    #[arg(long)]
    save_probability: bool,

    /// Write NAME.iou.nii.gz (.tif for an image): predicted IoU of the grid point whose cell a voxel is
    /// in, f32 on the volume's grid
    #[arg(long)]
    save_iou_map: bool,

    /// Measure the agreement of grid points, 0 to 1, in points mode: how much the masks of five other points
    /// are like the selected one. Takes the decoding of five more masks a slice. In --json, and for each slice
    /// in --save-json
    #[arg(long)]
    agreement: bool,

    /// Write NAME.sliceNNN.png: slices with the outline of the mask. all: every slice. middle: the
    /// middle one of the slices with a mask. Or a list of slice indices in the file, from 0
    #[arg(long, value_name = "all|middle|3,7,12")]
    overlay: Option<SliceChoice>,

    /// Write NAME.json: volume in ml (area in px² for an image), bounding box in voxels and mm, slices with a mask, predicted
    /// IoUs, confidence of the volume and of each slice (of the masks before post-processing), settings, and
    /// the hash of the model
    #[arg(long)]
    save_json: bool,
}

impl OutputFlags {
    /// The library's options.
    pub(super) fn options(&self) -> PredictOptions {
        let postprocess = PostprocessConfig {
            largest_component: self.largest_component,
            fill_holes: self.fill_holes,
        };
        PredictOptions::default()
            .with_mask_interpolation(self.mask_interpolation)
            .with_postprocess(postprocess)
            .with_probability(self.save_probability)
            .with_iou_map(self.save_iou_map)
            .with_agreement(self.agreement)
            .with_overlay(self.overlay.clone())
            .with_json(self.save_json)
    }
}
