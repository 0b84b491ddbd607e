//! Segmentation of whole volumes, in memory and in files.

use super::{ClassSegmentation, Segmentation, Segmenter};
use crate::device::has_one_queue;
use crate::model::VolumeMeasurements;
use crate::predict::features::SliceFeatures;
use crate::predict::findings;
use crate::predict::maps::Maps;
use crate::predict::output::{Output, OutputFiles};
use crate::predict::{
    ClassPrediction, SlicePrediction, VolumeSummary, class_map, class_planes, keep_present_slices,
};
use crate::{Error, Result};
use desam_core::text::{name_text, one_line};
use desam_core::{LabelMask, LabelVolume, Progress, Volume};
use desam_data::preprocess::{Interpolation, PreparedVolume};
use desam_volume::volumes::{Loaded, load_volume};
use std::borrow::Borrow;
use std::path::Path;

/// Grid points whose masks are compared with the selected one for their agreement.
const COMPARED_POINTS: usize = 5;

impl Segmenter {
    /// Segments a volume in memory; no file is touched.
    ///
    /// Memory holds the pixels and features of one slice at a time, and of the next one on an
    /// accelerator. `progress` counts slices and receives the warnings of
    /// [`Segmentation::warnings`].
    ///
    /// # Errors
    /// When the volume cannot be preprocessed ([`Error::Geometry`]) or a tensor operation fails;
    /// [`Error::Cancelled`] after the slice during which `progress` was cancelled.
    pub fn segment(&self, volume: &Volume, progress: &dyn Progress) -> Result<Segmentation> {
        let prepared = self.prepare(volume)?;
        self.warnings().iter().for_each(|warning| progress.warn(warning));
        progress.begin("segmenting", prepared.len() as u64);
        let segmentation = self.compute(&prepared, progress)?;
        progress.finish(&segmentation.size().to_string());
        segmentation.warnings.iter().for_each(|warning| progress.warn(warning));
        Ok(segmentation)
    }

    /// Segments a file of any format (see [`desam_volume::volumes`]) into a `u8` mask in the format of
    /// `output`'s name. If that is the input's format, the header's geometry is copied: dimensions,
    /// affine and codes. [`options`](Self::options) say which files are written next to the mask. The
    /// reader's warnings go to `progress`.
    ///
    /// # Errors
    /// As [`segment`](Self::segment), and when the file cannot be read or the mask not written. No
    /// file is written after an error or a cancellation.
    pub fn segment_file(
        &self,
        input: impl AsRef<Path>,
        output: impl AsRef<Path>,
        progress: &dyn Progress,
    ) -> Result<VolumeSummary> {
        let input = input.as_ref();
        self.segment_loaded(self.load(input)?, input, output.as_ref(), progress)
    }

    /// Segments a volume that the caller has read from `input`, together with the reader's warnings,
    /// which become part of the report.
    ///
    /// # Errors
    /// As [`segment`](Self::segment), and when the mask cannot be written.
    pub fn segment_loaded<V: Borrow<Volume>>(
        &self,
        loaded: Loaded<V>,
        input: &Path,
        output: &Path,
        progress: &dyn Progress,
    ) -> Result<VolumeSummary> {
        let read = loaded.warnings.clone();
        let reported = read.len();
        let volume = loaded.report(progress);
        let volume: &Volume = volume.borrow();
        self.warnings().iter().for_each(|warning| progress.warn(warning));
        let files = OutputFiles::new(input, output, &self.options, &self.model.record().classes)?;
        let prepared = self.prepare_file(volume, input)?;
        let name = one_line(&name_text(input.file_name().unwrap_or_default()));
        progress.begin(&name, prepared.len() as u64);
        let segmentation = self.compute(&prepared, progress)?;
        let result =
            Output { prepared: &prepared, volume: Some(volume), segmentation, warnings: read };
        let summary = files.write(self, &result)?;
        progress.finish(&format!("{name}: {}", summary.size));
        summary.warnings.iter().skip(reported).for_each(|warning| progress.warn(warning));
        Ok(summary)
    }

    /// Reads a file with the [`read_options`](Self::read_options).
    pub(in crate::predict) fn load(&self, input: &Path) -> Result<Loaded<Volume>> {
        Ok(load_volume(input, &self.read)?)
    }

    /// Preprocesses a volume.
    pub(super) fn prepare(&self, volume: &Volume) -> Result<PreparedVolume> {
        let prepared = self.prepare_input(volume)?;
        if let Some(choice) = &self.options.overlay {
            // Before the computation, which may take minutes.
            choice.check(volume.grid().dims[prepared.slice_axis()])?;
        }
        Ok(prepared)
    }

    /// Preprocesses a volume that was read from a file, which errors name.
    pub(in crate::predict) fn prepare_file(
        &self,
        volume: &Volume,
        input: &Path,
    ) -> Result<PreparedVolume> {
        self.prepare(volume).map_err(|e| Error::file(input, e.to_string()))
    }

    /// The interpolation of masks on the volume's own grid.
    pub(in crate::predict) fn mask_interpolation(&self) -> Interpolation {
        let own = self.model.record().preprocess.mask_interpolation();
        self.options.mask_interpolation.unwrap_or(own)
    }

    /// Predicts all slices of a preprocessed volume and restores the mask to the volume's own grid.
    pub(in crate::predict) fn compute(
        &self,
        prepared: &PreparedVolume,
        progress: &dyn Progress,
    ) -> Result<Segmentation> {
        let compared = if self.options.agreement { COMPARED_POINTS } else { 0 };
        let predictor = self.model.predictor().with_compared_points(compared);
        let table = &self.model.record().classes;
        let mut slices: Vec<Vec<SlicePrediction>> = vec![Vec::new(); table.len()];
        let mut maps = Vec::new();
        for _ in 0..table.len() {
            maps.push(Maps::new(&self.options, prepared)?);
        }
        let linear = self.mask_interpolation() == Interpolation::Linear;
        let mut smooth = linear.then(|| prepared.smooth_mask(table.len())).transpose()?;
        let mut nearest: Vec<LabelMask> = Vec::new();
        let device = self.model.device();
        let features = SliceFeatures { encoder: self.model.encoder().as_ref(), prepared, device };
        // On a CPU the encoder keeps all cores busy.
        let ahead = usize::from(!device.is_cpu() && has_one_queue(device));
        let check = |done: usize| {
            let (what, kept) = ("slices segmented", "no mask is made of a part of a volume");
            let total = prepared.len();
            if done < total && progress.is_cancelled() {
                return Err(Error::Cancelled { what, done, total, kept });
            }
            Ok(())
        };
        check(0)?;
        let mut put = |z: usize, classes: Vec<ClassPrediction>| -> Result<()> {
            for (map, (_, evidence)) in maps.iter_mut().zip(&classes) {
                map.put(z, evidence)?;
            }
            match &mut smooth {
                Some(mask) => mask.push(&class_planes(&classes))?,
                None => nearest.push(class_map(&classes)?.map().clone()),
            }
            for (slices, (slice, _)) in slices.iter_mut().zip(classes) {
                slices.push(slice);
            }
            Ok(())
        };
        // Where the volume decides as a whole, its masks wait for its last slice.
        let mut waiting = Vec::new();
        features.for_each(ahead, |z, features| {
            let classes = predictor.predict_classes(&features, &self.prompting)?;
            expect_classes(classes.len(), table.len())?;
            if self.prompting.presence_rule.is_slice() {
                put(z, classes)?;
            } else {
                waiting.push(classes);
            }
            progress.advance(1, &format!("slice {}/{}", z + 1, prepared.len()));
            check(z + 1)
        })?;
        keep_present_slices(&mut waiting, &self.prompting);
        waiting.into_iter().enumerate().try_for_each(|(z, classes)| put(z, classes))?;
        let mask = match smooth {
            Some(smooth) => smooth.finish()?,
            None => prepared.restore(&nearest)?,
        };
        let mask = self.options.postprocess.apply(mask, prepared.slice_axis())?;
        let labels = table.written_labels();
        let label = |class: u8| labels.get(usize::from(class)).copied().unwrap_or(0);
        let grid = *mask.grid();
        let data = mask.into_data().into_iter().map(label).collect();
        let mask = LabelVolume::new(grid, data)?;
        let mut classes = Vec::with_capacity(table.len());
        for ((class, slices), maps) in (1..).zip(slices).zip(maps) {
            let (probability, iou_map) = maps.finish()?;
            let (name, label) =
                (table.name(class).unwrap_or_default().to_owned(), table.written_label(class));
            classes.push(ClassSegmentation { name, label, slices, probability, iou_map });
        }
        let found = findings::warnings(&mask, prepared.slice_axis(), table);
        let warnings = prepared.warnings().iter().cloned().chain(found).collect();
        let in_pixels = prepared.is_in_pixels();
        let mut segmentation = Segmentation { mask, classes, in_pixels, warnings };
        if let Some(statistics) = self.model.record().source_statistics.as_ref()
            && let Some(structure_ml) = segmentation.size().volume_ml()
        {
            let spacing_mm = prepared.slice_spacing();
            let found = VolumeMeasurements { structure_ml, spacing_mm };
            segmentation.warnings.extend(statistics.warnings(&found));
        }
        Ok(segmentation)
    }
}

/// Checks that a decoder has the classes that the model's record names.
fn expect_classes(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(desam_core::Error::shape("classes of the decoder", expected, found).into())
}
