//! From a volume to a mask on its own grid.

use super::SlicePrediction;
use crate::{Automatic, Error, Mode, Model, Result};
use candle_core::Device;
use desam_core::{BinaryMask, ImageEncoder, LabelVolume, Progress, Volume};
use desam_data::volumes::{read_volume, write_mask_like};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A trained model ready to segment volumes: loaded once, used for many.
pub struct Segmenter {
    model: Model,
    encoder: Arc<dyn ImageEncoder>,
    automatic: Automatic,
}

impl std::fmt::Debug for Segmenter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Segmenter");
        out.field("model", &self.model).field("automatic", &self.automatic).finish_non_exhaustive()
    }
}

/// A volume's mask.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// 0 and 1, on the volume's own grid.
    pub mask: LabelVolume,
    /// One prediction a processed slice.
    pub slices: Vec<SlicePrediction>,
}

impl Segmentation {
    /// Volume of the mask, in millilitres.
    pub fn volume_ml(&self) -> f64 {
        let voxels = self.mask.data().iter().filter(|v| **v > 0).count();
        voxels as f64 * self.mask.grid().voxel_mm3() / 1000.0
    }
}

/// What one file came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VolumeSummary {
    /// The volume.
    pub input: PathBuf,
    /// Its mask.
    pub output: PathBuf,
    /// Voxels along `i`, `j`, `k`.
    pub dims: [usize; 3],
    /// Slices on the model's grid whose mask is not empty.
    pub slices_with_mask: usize,
    /// Slices on the model's grid.
    pub slices: usize,
    /// Volume of the mask, in millilitres.
    pub volume_ml: f64,
}

impl Segmenter {
    /// A model file, or a run's folder, on the CPU. It prompts as it was trained; a model whose
    /// training is not recorded, by a 9×9 grid of points.
    ///
    /// # Errors
    /// When the model cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let model = Model::open(path, &Device::Cpu)?;
        let encoder = model.encoder();
        Self::with_encoder(model, encoder)
    }

    /// A model with an encoder of the caller's.
    ///
    /// # Errors
    /// When the encoder's taps, channels or sides are not those the model was made for.
    pub fn with_encoder(model: Model, encoder: Arc<dyn ImageEncoder>) -> Result<Self> {
        if encoder.spec() != model.spec() {
            return Err(Error::Invalid(format!(
                "the encoder gives {:?}, the model was made for {:?}",
                encoder.spec(),
                model.spec()
            )));
        }
        let mode = model.record().training.as_ref().map_or(Mode::Points, |t| t.mode);
        let automatic = Automatic::new(mode, 9, model.spec().mask_side());
        Ok(Self { model, encoder, automatic })
    }

    /// The same, prompting in another way.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn with_automatic(mut self, automatic: Automatic) -> Result<Self> {
        automatic.validate()?;
        self.automatic = automatic;
        Ok(self)
    }

    /// How it prompts.
    pub fn automatic(&self) -> &Automatic {
        &self.automatic
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Segments a volume. One slice's pixels and features are held at a time.
    ///
    /// # Errors
    /// When the volume cannot be prepared or a tensor operation fails.
    pub fn segment(&self, volume: &Volume, progress: &dyn Progress) -> Result<Segmentation> {
        let prepared = self.model.record().preprocess.prepare(volume, self.model.spec())?;
        let predictor = self.model.predictor();
        let mut slices = Vec::with_capacity(prepared.len());
        for z in 0..prepared.len() {
            let features = self.encoder.encode(&prepared.pixels(z, self.model.device())?)?;
            slices.push(predictor.predict(&features, &self.automatic)?);
            progress.advance(1, &format!("slice {}/{}", z + 1, prepared.len()));
        }
        let masks: Vec<BinaryMask> = slices.iter().map(|s| s.mask.clone()).collect();
        Ok(Segmentation { mask: prepared.restore(&masks)?, slices })
    }

    /// Segments a file of any format (see [`desam_data::volumes`]); the mask is u8, in the format
    /// that `output` is named after. Where that is the input's, the header's geometry is the
    /// input's: the same dimensions, affine and codes.
    ///
    /// # Errors
    /// When the file cannot be read, or the mask not written.
    pub fn segment_file(
        &self,
        input: &Path,
        output: &Path,
        progress: &dyn Progress,
    ) -> Result<VolumeSummary> {
        self.segment_read(&read_volume(input)?, input, output, progress)
    }

    /// Segments a volume that was read from `input` in a way of the caller's, such as one series of
    /// a folder; otherwise as [`segment_file`](Self::segment_file).
    ///
    /// # Errors
    /// When the volume cannot be prepared, or the mask not written.
    pub fn segment_read(
        &self,
        volume: &Volume,
        input: &Path,
        output: &Path,
        progress: &dyn Progress,
    ) -> Result<VolumeSummary> {
        let name = input.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
        progress.begin(&name, volume.grid().dims[2] as u64);
        let segmentation = self.segment(volume, progress)?;
        write_mask_like(input, output, &segmentation.mask)?;
        let summary = VolumeSummary {
            input: input.to_owned(),
            output: output.to_owned(),
            dims: volume.grid().dims,
            slices_with_mask: segmentation.slices.iter().filter(|s| !s.mask.is_empty()).count(),
            slices: segmentation.slices.len(),
            volume_ml: segmentation.volume_ml(),
        };
        progress.finish(&format!("{name}: {:.1} ml", summary.volume_ml));
        Ok(summary)
    }
}
