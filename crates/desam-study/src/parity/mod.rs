//! Parity with the official program: comparison with its reference vectors, stage by stage.
//!
//! [`parity`] reads a folder of reference vectors, written by a script around the official modules (names
//! and contents: `docs/fidelity.md`), runs every stage here, and reports the differences. Sizes are read
//! from the checkpoint and from the files, so a model of any width, depth, window or grid can be checked.

mod compare;
mod decoder;
mod frozen;
mod gradients;
mod grid;
mod limits;
mod losses;
mod matching;
mod metrics;
mod official_model;
mod options;
mod preprocess;
mod reference_folder;
mod reference_vectors;
mod report;
mod subjects;
mod training;

pub use options::ParityOptions;
pub use report::{GradientCheck, Measure, ParityReport, Skipped, Stage};

use crate::{Error, Result};
use desam_core::Progress;
use limits::{LOSS, Limits};
use official_model::OfficialModel;
use reference_folder::ReferenceFolder;
use std::path::Path;
use subjects::SUBJECTS;

/// Files of reference vectors.
const VECTOR_FILES: [&str; 10] = [
    "encoder.safetensors",
    "prompt_encoder.safetensors",
    "decoder.safetensors",
    "losses.safetensors",
    "train.safetensors",
    "train_f64.safetensors",
    "grid.safetensors",
    "preprocess.safetensors",
    "metrics.safetensors",
    "matching.safetensors",
];

/// Names of the groups of stages, for progress reports.
const GROUPS: [&str; 9] =
    ["model", "encoder", "prompts", "decoder", "losses", "training", "grid", "volumes", "matching"];

/// Runs every stage that the folder has reference vectors for.
///
/// # Errors
/// When the folder holds nothing to check, or a file in it cannot be read, lacks a tensor, or holds
/// one of an impossible shape; the error names the file and the tensor. A difference beyond its limit is
/// not an error but a failed stage.
pub fn parity(dir: &Path, progress: &dyn Progress) -> Result<ParityReport> {
    parity_on(dir, &ParityOptions::default(), progress)
}

/// Runs the stages on any device, in any precision. Preprocessing and metrics always run on the CPU.
///
/// # Errors
/// As [`parity`], and for bf16 on a CPU.
pub fn parity_on(
    dir: &Path,
    options: &ParityOptions,
    progress: &dyn Progress,
) -> Result<ParityReport> {
    options.precision.check_on(&options.device)?;
    stages(dir, options, progress)
}

fn stages(dir: &Path, options: &ParityOptions, progress: &dyn Progress) -> Result<ParityReport> {
    let of_desam = VECTOR_FILES.iter().any(|name| dir.join(name).is_file());
    if !of_desam && !SUBJECTS.iter().any(|subject| dir.join(subject.file()).is_file()) {
        let reason = "nothing to check: no reference vectors (encoder.safetensors, \
                      decoder.safetensors, …, dapsam.safetensors, …) are in this folder";
        return Err(Error::file(dir, reason));
    }
    let report = ParityReport {
        device: desam::device::name(&options.device),
        precision: options.precision,
        ..ParityReport::default()
    };
    let mut run = ParityRun { folder: ReferenceFolder::open(dir, options)?, report };
    // A folder of other subjects is not reported to lack DeSAM's files.
    let groups: &[&str] = if of_desam { &GROUPS } else { &[] };
    progress.begin("parity", (groups.len() + SUBJECTS.len()) as u64);
    for group in groups {
        run.group(group)?;
        progress.advance(1, group);
    }
    for subject in SUBJECTS {
        if let Some(found) = subject.compare(&run.folder)? {
            run.report.stages.extend(found.stages);
            run.report.gradients.extend(found.gradients);
            run.report.skipped.extend(found.skipped);
        }
        progress.advance(1, subject.name);
    }
    progress.finish(&format!("{} stages", run.report.stages.len()));
    if run.report.stages.is_empty() {
        let why: Vec<_> =
            run.report.skipped.iter().map(|s| format!("{}: {}", s.what, s.reason)).collect();
        return Err(Error::file(dir, format!("nothing to check: {}", why.join("; "))));
    }
    Ok(run.report)
}

struct ParityRun {
    folder: ReferenceFolder,
    report: ParityReport,
}

impl ParityRun {
    fn group(&mut self, group: &str) -> Result<()> {
        match group {
            "model" => self.model(),
            "encoder" => self.encoder(),
            "prompts" => self.prompts(),
            "decoder" => self.decoder(),
            "losses" => self.losses(),
            "training" => self.training(),
            "grid" => self.grid(),
            "matching" => self.matching(),
            _ => self.volumes(),
        }
    }

    /// Loads either checkpoint: the frozen half is the same before and after training.
    fn frozen(&self) -> Result<Option<OfficialModel>> {
        let any = self.folder.init.as_ref().or(self.folder.trained.as_ref());
        self.folder.model(any, false)
    }

    fn model(&mut self) -> Result<()> {
        let model = self.frozen()?;
        match (self.folder.sizes(), model) {
            (Some(sizes), Some(model)) => self.report.stages.push(sizes.stage(&model)),
            (None, _) => self.report.skip("config.json", "there is none"),
            (_, None) => self.report.skip("config.json", "there is no checkpoint to hold it to"),
        }
        let [pth, other] = ["trained.pth", "trained.safetensors"].map(|n| self.folder.dir.join(n));
        if pth.is_file() && other.is_file() {
            self.report.stages.push(official_model::formats(&pth, &other)?);
        } else {
            self.report
                .skip("formats of a checkpoint", "needs trained.pth and trained.safetensors");
        }
        Ok(())
    }

    fn encoder(&mut self) -> Result<()> {
        let model = self.frozen()?;
        match (&model, &self.folder.encoder) {
            (Some(model), Some(file)) => {
                let limits = Limits::of(model, model.precision);
                let train = self.folder.train.as_ref();
                let stages = frozen::encoder(model, &limits, file, train)?;
                self.report.stages.extend(stages);
            }
            _ => self.report.skip("image encoder", "needs a checkpoint and encoder.safetensors"),
        }
        Ok(())
    }

    fn prompts(&mut self) -> Result<()> {
        let file = self.folder.vectors("prompt_encoder.safetensors")?;
        match (self.frozen()?, file) {
            (Some(model), Some(file)) => {
                let limits = Limits::of(&model, model.precision);
                self.report.stages.extend(frozen::prompts(&model, &limits, &file)?);
            }
            _ => {
                let why = "needs a checkpoint and prompt_encoder.safetensors";
                self.report.skip("prompt encoder", why);
            }
        }
        Ok(())
    }

    fn decoder(&mut self) -> Result<()> {
        let trained = self.folder.trained.as_ref();
        let (model, tracked) =
            (self.folder.model(trained, false)?, self.folder.model(trained, true)?);
        let decoder = self.folder.vectors("decoder.safetensors")?;
        let prompts = self.folder.vectors("prompt_encoder.safetensors")?;
        match (model, tracked, &decoder, &prompts, &self.folder.train) {
            (Some(model), Some(tracked), Some(decoder), Some(prompts), Some(train)) => {
                let files = decoder::DecoderVectors { decoder, prompts, train };
                let limits = Limits::of(&model, model.precision);
                let stages = decoder::decoder(&model, &tracked, &limits, files)?;
                self.report.stages.extend(stages);
            }
            _ => {
                let why = "needs trained.pth or trained.safetensors, decoder.safetensors, \
                           prompt_encoder.safetensors and train.safetensors (its features)";
                self.report.skip("decoder", why);
            }
        }
        Ok(())
    }

    fn losses(&mut self) -> Result<()> {
        match self.folder.cases("losses.safetensors")? {
            Some((file, cases)) => {
                self.report.stages.extend(losses::losses(&file, &cases, LOSS)?);
            }
            None => self.report.skip("losses", "needs losses.safetensors and losses.json"),
        }
        Ok(())
    }

    fn training(&mut self) -> Result<()> {
        let model = self.folder.model(self.folder.init.as_ref(), true)?;
        let double = self.folder.vectors("train_f64.safetensors")?;
        match (model, &double, &self.folder.train, &self.folder.encoder) {
            (Some(model), Some(double), Some(single), Some(encoder)) => {
                let files = reference_vectors::TrainingVectors { single, double, encoder };
                let limits = Limits::of(&model, model.precision);
                let found = training::training(&model, &limits, files)?;
                self.report.skipped.extend(found.skipped);
                self.report.stages.extend(found.stages);
                self.report.gradients = found.gradients;
            }
            _ => {
                let why = "needs init.pth, train.safetensors, train_f64.safetensors and \
                           encoder.safetensors (its masks)";
                self.report.skip("training", why);
            }
        }
        Ok(())
    }

    fn grid(&mut self) -> Result<()> {
        let model = self.folder.model(self.folder.trained.as_ref(), false)?;
        match (model, self.folder.cases("grid.safetensors")?, &self.folder.train) {
            (Some(model), Some((file, cases)), Some(train)) => {
                self.report.stages.extend(grid::grid(&model, &file, train, &cases)?);
            }
            _ => {
                let why = "needs trained.pth or trained.safetensors, grid.safetensors, grid.json \
                           and train.safetensors (its features)";
                self.report.skip("grid points mode", why);
            }
        }
        Ok(())
    }

    fn matching(&mut self) -> Result<()> {
        // No part of DeSAM, so that no stage is missed where there is no such file.
        if let Some(file) = self.folder.vectors("matching.safetensors")? {
            self.report.stages.extend(matching::matching(&file)?);
        }
        Ok(())
    }

    fn volumes(&mut self) -> Result<()> {
        let file = self.folder.vectors("preprocess.safetensors")?;
        let input = self.folder.config.as_ref().and_then(|c| c.preprocess.as_ref());
        let input = input.map(|i| (self.folder.dir.join(&i.image), self.folder.dir.join(&i.label)));
        match (file, input) {
            (Some(file), Some((image, label))) if image.is_file() && label.is_file() => {
                let stages = preprocess::preprocess(&file, &image, &label)?;
                self.report.stages.extend(stages);
            }
            _ => {
                let why = "needs preprocess.safetensors and the volume and labels that \
                           config.json names";
                self.report.skip("preprocessing", why);
            }
        }
        match self.folder.cases("metrics.safetensors")? {
            Some((file, cases)) => {
                let (stages, skipped) = metrics::metrics(&file, &cases)?;
                self.report.stages.extend(stages);
                self.report.skipped.extend(skipped);
            }
            None => self.report.skip("metrics", "needs metrics.safetensors and metrics.json"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
