//! `desam parity`: this program against the official one.

use super::overwrite::say_replaced;
use super::precision::PrecisionFlag;
use super::{Session, room_for};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::Context;
use clap::Args;
use desam_study::parity::{ParityOptions, parity_on};
use std::path::PathBuf;

const AFTER: &str = "\
What may be in DIR; whatever is absent is skipped and listed:
  config.json                        sizes, held to the checkpoint's shapes
  init.pth, trained.pth              the model before and after training (or trained.safetensors)
  encoder.safetensors                taps and embedding
  prompt_encoder.safetensors         points, boxes, masks and their mixtures
  decoder.safetensors                mask embedding, logits, all predicted IoU
  losses.{safetensors,json}          loss terms and their gradients
  train.safetensors, train_f64.safetensors
                                     gradients, and what steps of Adam make of them
  grid.{safetensors,json}            grid points mode: points, records, masks
  preprocess.safetensors             a volume through the preprocessing
  metrics.{safetensors,json}         overlap, surface distances, surface Dice

A row of the table is one stage: how many numbers, ||out - ref|| / ||ref||, the largest difference,
and the limit for the one of the two that is marked with *. docs/fidelity.md explains the limits.

Examples:
  desam parity reference/tiny --json parity.json
  desam parity reference/tiny --device cuda:0 --precision bf16

Exit codes: 0 every stage is within its limit; 1 one is not, a file is damaged, or there is nothing
to check.";

/// Compare every stage with what the official program computed, number by number
///
/// DIR holds a small model of any size and the official program's results on it. Every stage, from
/// pixels to gradients and selected masks, is run here and held to them: in f32 with the same limits on
/// a GPU as on the CPU, in bf16 with wider ones.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Folder of reference vectors
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    #[command(flatten)]
    precision: PrecisionFlag,

    /// Write the result as JSON to FILE; without FILE, print it on stdout instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
}

impl Arguments {
    /// `--json` without a file.
    pub(crate) fn json_flag(&self) -> JsonFlag {
        JsonFlag { json: matches!(self.json, Some(None)) }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let precision = arguments.precision.precision;
    let options =
        ParityOptions::default().with_device(session.device.clone()).with_precision(precision);
    let report = parity_on(&arguments.dir, &options, &session.screen)?;
    if let Some(Some(path)) = &arguments.json {
        room_for(path)?;
        say_replaced(path, session);
        report.write_json(path)?;
    }
    let mut value =
        serde_json::to_value(&report).context("the result cannot be written as JSON")?;
    if let Some(object) = value.as_object_mut() {
        object.insert("passed".to_owned(), report.passed().into());
    }
    let mut reply = Reply::new(report.table(), value);
    let failed = report.failed();
    reply.failures = failed.map(|s| format!("{} exceeds its limit", s.name)).collect();
    Ok(reply)
}
