//! `desam parity`: numerical comparison with the official program.

use super::Session;
use super::flags::{JsonFileFlag, PrecisionFlag};
use super::output_files::{ensure_parent_dir, note_overwrite};
use crate::output::Output;
use clap::Args;
use desam_study::parity::{ParityOptions, parity_on};
use std::path::PathBuf;

const AFTER: &str = "\
Files in DIR; stages whose files are missing are skipped and listed:
  config.json                        sizes, compared with the checkpoint's shapes
  init.pth, trained.pth              the model before and after training (or trained.safetensors)
  encoder.safetensors                taps and embedding of the image encoder
  prompt_encoder.safetensors         points, boxes, masks and combinations of them
  decoder.safetensors                mask embedding, logits, all predicted IoUs
  losses.{safetensors,json}          loss terms and their gradients
  train.safetensors, train_f64.safetensors
                                     gradients, and the parameters after steps of Adam
  grid.{safetensors,json}            grid points mode: points, records, masks
  preprocess.safetensors             a volume through the preprocessing
  metrics.{safetensors,json}         overlap, surface distances, surface Dice
  matching.safetensors               histogram matching of volumes (scikit-image)
Other methods, with .safetensors and .json:
  dapsam, dapsam_intended, lora      adapters in the image encoder: results, gradients, training
  dapsam_data                        slices, data augmentation and scores of DAPSAM

The table has one row per stage: the number of values, ||out - ref|| / ||ref||, the largest \
difference, and the limit for whichever of the two is marked with *. docs/fidelity.md explains the \
limits.

Examples:
  desam parity reference/tiny --json parity.json
  desam parity reference/tiny --device cuda:0 --precision bf16

Exit codes:
  0  every stage is within its limit
  1  a stage exceeds its limit, a file is damaged, or there is nothing to check
  2  usage error";

/// Compare every stage numerically with reference results of the official program
///
/// DIR holds a small model of any size and the official program's results on it. Every stage is run,
/// from preprocessing to gradients and selected masks, and compared with them. In f32 the limits are
/// the same on GPU and CPU; in bf16 they are wider.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Folder with the reference results
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    #[command(flatten)]
    precision: PrecisionFlag,

    #[command(flatten)]
    pub(crate) json: JsonFileFlag,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let compute = arguments.precision.on(&session.device)?;
    let options = ParityOptions::default()
        .with_device(compute.device().clone())
        .with_precision(compute.precision());
    let report = parity_on(&arguments.dir, &options, &session.terminal)?;
    if let Some(path) = arguments.json.file() {
        ensure_parent_dir(path)?;
        note_overwrite(path, session);
        report.write_json(path)?;
    }
    let mut value = serde_json::to_value(&report)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("passed".to_owned(), report.passed().into());
    }
    let mut output = Output::new(report.table(), value);
    let failed = report.failed();
    output.failures = failed.map(|s| format!("{} exceeds its limit", s.name)).collect();
    Ok(output)
}
