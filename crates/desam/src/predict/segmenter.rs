//! From a volume to a mask on its own grid.

use super::features::Features;
use super::maps::Maps;
use super::output::{Output, OutputFiles, VolumeSummary};
use super::{ModelFacts, PredictOptions, SlicePrediction, findings};
use crate::device::has_one_queue;
use crate::model::model_file;
use crate::{Automatic, Error, Mode, Model, Result};
use candle_core::Device;
use desam_core::text::{name_text, one_line};
use desam_core::{BinaryMask, ImageEncoder, LabelVolume, Precision, Progress, Volume};
use desam_data::cache::hash_file;
use desam_data::preprocess::PreparedVolume;
use desam_data::volumes::{Loaded, ReadOptions, load_volume};
use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A trained model ready to segment volumes: loaded once, used for many.
pub struct Segmenter {
    model: Model,
    encoder: Arc<dyn ImageEncoder>,
    automatic: Automatic,
    options: PredictOptions,
    read: ReadOptions,
    /// The model's file, where it was opened from one.
    source: Option<PathBuf>,
    /// That file's BLAKE3, where it will be asked for.
    blake3: Option<String>,
}

impl std::fmt::Debug for Segmenter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Segmenter");
        out.field("model", &self.model).field("automatic", &self.automatic);
        out.field("options", &self.options).finish_non_exhaustive()
    }
}

/// A volume's mask.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// 0 and 1, on the volume's own grid.
    pub mask: LabelVolume,
    /// One prediction a processed slice, as the model gives it.
    pub slices: Vec<SlicePrediction>,
    /// Probabilities on the volume's own grid, where [`PredictOptions::probability`] asks for them.
    pub probability: Option<Volume>,
    /// Predicted IoUs on the volume's own grid, where [`PredictOptions::iou_map`] asks for them.
    pub iou_map: Option<Volume>,
    /// What may not be as the user expects of the volume and its mask, a sentence each: an image
    /// without contrast, a mask with nothing in it.
    pub warnings: Vec<String>,
}

impl Segmentation {
    /// Volume of the mask, in millilitres.
    pub fn volume_ml(&self) -> f64 {
        let voxels = self.mask.data().iter().filter(|v| **v > 0).count();
        voxels as f64 * self.mask.grid().voxel_mm3() / 1000.0
    }
}

impl Segmenter {
    /// A model file, or a run's folder, on the CPU. It prompts as it was trained; a model whose
    /// training is not recorded, by a 9×9 grid of points.
    ///
    /// # Errors
    /// When the model cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_on(path, &Device::Cpu, Precision::F32)
    }

    /// The same on another device, in another precision.
    ///
    /// # Errors
    /// When the model cannot be read, and for bf16 on a CPU.
    pub fn open_on(path: &Path, device: &Device, precision: Precision) -> Result<Self> {
        let model = Model::open_in(path, device, precision)?;
        let encoder = model.encoder();
        let segmenter = Self::with_encoder(model, encoder)?;
        Ok(Self { source: Some(model_file(path)?), ..segmenter })
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
        let options = PredictOptions::default();
        let read = ReadOptions::default();
        Ok(Self { model, encoder, automatic, options, read, source: None, blake3: None })
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

    /// The same, with something done to masks and written beside them.
    ///
    /// # Errors
    /// When the options cannot be used, ask for a map of what the model does not predict, or want
    /// the model's file hashed and it cannot be read.
    pub fn with_options(mut self, options: PredictOptions) -> Result<Self> {
        options.validate()?;
        if options.iou_map {
            self.expect_iou()?;
        }
        if options.json && self.blake3.is_none() {
            // Once, not for every volume: a model may be of gigabytes.
            self.blake3 = self.source.as_deref().map(hash_file).transpose()?;
        }
        self.options = options;
        Ok(self)
    }

    /// Refuses a map of predicted IoUs where they mean nothing.
    fn expect_iou(&self) -> Result<()> {
        let record = self.model.record();
        if record.iou_is_trained() {
            return Ok(());
        }
        let variant = record.variant;
        Err(Error::Invalid(if variant.predicts_iou() {
            "this model was trained without a loss on the predicted IoU, as whole box mode is: what \
             it predicts means nothing, and there is no map of it"
                .to_owned()
        } else {
            format!("a model of variant {variant} predicts no IoU: there is no map of it")
        }))
    }

    /// What is doubtful about the model and its prompts, whatever the volume.
    pub fn warnings(&self) -> Vec<String> {
        self.model.prompting_warning(&self.automatic).into_iter().collect()
    }

    /// What is done to masks and written beside them.
    pub fn options(&self) -> &PredictOptions {
        &self.options
    }

    /// The same, reading files in another way, such as one series of DICOM folders that hold several.
    #[must_use]
    pub fn with_read_options(mut self, read: ReadOptions) -> Self {
        self.read = read;
        self
    }

    /// How files are read.
    pub fn read_options(&self) -> &ReadOptions {
        &self.read
    }

    /// Reads a file as [`read_options`](Self::read_options) say.
    pub(super) fn load(&self, input: &Path) -> Result<Loaded<Volume>> {
        Ok(load_volume(input, &self.read)?)
    }

    /// Which model it is.
    pub(super) fn facts(&self) -> ModelFacts {
        let record = self.model.record();
        ModelFacts {
            file: self.source.clone(),
            blake3: self.blake3.clone(),
            encoder: record.encoder.clone(),
            encoder_blake3: record.encoder_blake3.clone(),
            training: record.training.clone(),
        }
    }

    /// Segments a volume. One slice's pixels and features are held at a time; where the model is on
    /// an accelerator those of the next are being made. `progress` is told where the work begins, of
    /// every slice, where it ends, and of what is doubtful ([`Segmentation::warnings`]).
    ///
    /// # Errors
    /// When the volume cannot be prepared or a tensor operation fails.
    pub fn segment(&self, volume: &Volume, progress: &dyn Progress) -> Result<Segmentation> {
        let prepared = self.prepare(volume)?;
        self.warnings().iter().for_each(|warning| progress.warn(warning));
        progress.begin("segmenting", prepared.len() as u64);
        let segmentation = self.compute(&prepared, progress)?;
        progress.finish(&format!("{:.1} ml", segmentation.volume_ml()));
        segmentation.warnings.iter().for_each(|warning| progress.warn(warning));
        Ok(segmentation)
    }

    /// A volume ready to be computed on.
    fn prepare(&self, volume: &Volume) -> Result<PreparedVolume> {
        let prepared = self.model.record().preprocess.prepare(volume, self.model.spec())?;
        if let Some(choice) = &self.options.overlay {
            // Said before an hour's work, not after it.
            choice.check(volume.grid().dims[prepared.slice_axis()])?;
        }
        Ok(prepared)
    }

    /// The same for what was read from a file, which errors name.
    pub(super) fn prepare_file(&self, volume: &Volume, input: &Path) -> Result<PreparedVolume> {
        self.prepare(volume).map_err(|e| Error::file(input, e.to_string()))
    }

    pub(super) fn compute(
        &self,
        prepared: &PreparedVolume,
        progress: &dyn Progress,
    ) -> Result<Segmentation> {
        let predictor = self.model.predictor();
        let mut slices = Vec::with_capacity(prepared.len());
        let mut maps = Maps::new(&self.options, prepared)?;
        let device = self.model.device();
        let features = Features { encoder: self.encoder.as_ref(), prepared, device };
        features.each(!device.is_cpu() && has_one_queue(device), |z, features| {
            let (slice, evidence) = predictor.predict_with_evidence(&features, &self.automatic)?;
            maps.put(z, &evidence)?;
            slices.push(slice);
            progress.advance(1, &format!("slice {}/{}", z + 1, prepared.len()));
            Ok(())
        })?;
        let masks: Vec<&BinaryMask> = slices.iter().map(|s| &s.mask).collect();
        let mask = prepared.restore(&masks)?;
        let mask = self.options.postprocess.apply(mask, prepared.slice_axis())?;
        let (probability, iou_map) = maps.finish()?;
        let found = findings::warnings(&mask, prepared.slice_axis());
        let warnings = prepared.warnings().iter().cloned().chain(found).collect();
        Ok(Segmentation { mask, slices, probability, iou_map, warnings })
    }

    /// Segments a file of any format (see [`desam_data::volumes`]); the mask is u8, in the format
    /// that `output` is named after. Where that is the input's, the header's geometry is the
    /// input's: the same dimensions, affine and codes. What [`options`](Self::options) ask for is
    /// written beside it. What the reader has to warn about goes to `progress`.
    ///
    /// # Errors
    /// When the file cannot be read, or the mask not written.
    pub fn segment_file(
        &self,
        input: &Path,
        output: &Path,
        progress: &dyn Progress,
    ) -> Result<VolumeSummary> {
        self.segment_loaded(self.load(input)?, input, output, progress)
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
        self.segment_loaded(Loaded::new(volume), input, output, progress)
    }

    /// Segments a volume that was read from `input`, together with what its reader had to say, which
    /// goes into the report as well.
    ///
    /// # Errors
    /// When the volume cannot be prepared, or the mask not written.
    pub fn segment_loaded<V: Borrow<Volume>>(
        &self,
        loaded: Loaded<V>,
        input: &Path,
        output: &Path,
        progress: &dyn Progress,
    ) -> Result<VolumeSummary> {
        let read = loaded.warnings.clone();
        let said = read.len();
        let volume = loaded.report(progress);
        let volume: &Volume = volume.borrow();
        self.warnings().iter().for_each(|warning| progress.warn(warning));
        let files = OutputFiles::new(input, output, &self.options)?;
        let prepared = self.prepare_file(volume, input)?;
        let name = one_line(&name_text(input.file_name().unwrap_or_default()));
        progress.begin(&name, prepared.len() as u64);
        let segmentation = self.compute(&prepared, progress)?;
        let result =
            Output { prepared: &prepared, volume: Some(volume), segmentation, warnings: read };
        let summary = files.write(self, &result)?;
        progress.finish(&format!("{name}: {:.1} ml", summary.volume_ml));
        summary.warnings.iter().skip(said).for_each(|warning| progress.warn(warning));
        Ok(summary)
    }
}
