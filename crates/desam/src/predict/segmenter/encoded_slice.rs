//! Interactive segmentation of single slices: features once, any number of prompts.

use super::{GraySlice, Segmenter};
use crate::predict::features::SliceFeatures;
use crate::predict::{ClassPrediction, SliceMask, SlicePrompt};
use crate::select::SelectionConfig;
use crate::{Error, Model, Result};
use desam_core::{ImageContext, Volume};
use desam_data::preprocess::{PreparedVolume, StoredSlice};
use std::sync::Arc;

/// Distance between slices that a single image is given where preprocessing does not resample, in
/// mm; it has no effect on the image.
const ANY_THICKNESS_MM: f64 = 1.0;

/// The features of one slice, kept for any number of prompts. Cheap to clone, and usable from many
/// threads at once.
#[derive(Clone)]
pub struct EncodedSlice {
    shared: Arc<Shared>,
}

struct Shared {
    model: Model,
    selection: SelectionConfig,
    context: ImageContext,
    slice: StoredSlice,
}

impl std::fmt::Debug for EncodedSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodedSlice").field("slice", &self.shared.slice).finish_non_exhaustive()
    }
}

impl Segmenter {
    /// Encodes one image, for prompts of a user.
    ///
    /// Intensities are normalised by the percentiles of this image, where a volume's slice is
    /// normalised by those of its volume.
    ///
    /// # Errors
    /// When the image cannot be preprocessed ([`Error::Geometry`](crate::Error::Geometry)) or a tensor
    /// operation fails.
    pub fn encode_slice(&self, image: &GraySlice) -> Result<EncodedSlice> {
        let spacing = self.model().record().preprocess.spacing_mm;
        let thickness = spacing.map_or(ANY_THICKNESS_MM, |[_, _, thickness]| thickness);
        self.encode_volume_slice(&image.to_volume(thickness)?, 0)
    }

    /// Encodes slice `index` of a volume, counted from 0 along the axis that slices are cut along as
    /// the volume is stored (`k`, unless the affine says that another axis is nearest to superior).
    /// Where slices are resampled, the features are those of the nearest processed slice.
    ///
    /// # Errors
    /// [`Error::NoSuchSlice`](crate::Error::NoSuchSlice) beyond the last slice; otherwise as
    /// [`encode_slice`](Self::encode_slice).
    pub fn encode_volume_slice(&self, volume: &Volume, index: usize) -> Result<EncodedSlice> {
        self.encode_prepared(&self.prepare_input(volume)?, index)
    }

    fn encode_prepared(&self, prepared: &PreparedVolume, index: usize) -> Result<EncodedSlice> {
        let model = self.model().clone();
        let slice = prepared.stored_slice(index)?;
        let encoder = model.encoder().as_ref();
        let features = SliceFeatures { encoder, prepared, device: model.device() };
        let features = features.encode(slice.processed())?;
        let context = model.predictor().context(&features)?;
        let selection = self.prompting().selection;
        let shared = Shared { selection, context, slice, model };
        Ok(EncodedSlice { shared: Arc::new(shared) })
    }
}

impl EncodedSlice {
    /// Columns of the slice.
    pub fn width(&self) -> usize {
        self.shared.slice.width()
    }

    /// Rows of the slice.
    pub fn height(&self) -> usize {
        self.shared.slice.height()
    }

    /// Segments the slice by a prompt in its own pixels; of a model of several classes this is the mask of the
    /// first ([`segment_classes`](Self::segment_classes)). The same prompt gives the same bits, from any
    /// thread.
    ///
    /// # Errors
    /// [`Error::SlicePrompt`](crate::Error::SlicePrompt) for a prompt that is empty, not finite, outside
    /// the slice, or outside the crop that the model sees.
    pub fn segment(&self, prompt: &SlicePrompt) -> Result<SliceMask> {
        let none = || Error::Invalid("a decoder has at least one class".into());
        self.segment_classes(prompt)?.into_iter().next().ok_or_else(none)
    }

    /// The masks of all classes by one prompt, in the order of the model's table. They may overlap.
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn segment_classes(&self, prompt: &SlicePrompt) -> Result<Vec<SliceMask>> {
        let Shared { model, selection, context, slice } = self.shared.as_ref();
        let prompt = prompt.to_input(slice, model.spec().input_side)?;
        let classes = model.predictor().predict_prompt(context, prompt, selection)?;
        let of_class = |(prediction, evidence): ClassPrediction| {
            Ok(SliceMask {
                mask: slice.restore(&prediction.mask)?,
                predicted_iou: prediction.predicted_iou,
                probability: slice.interpolate(&evidence.probabilities())?,
                raw: prediction,
            })
        };
        classes.into_iter().map(of_class).collect()
    }
}
