//! `desam info`: description of a file, a folder or the program.

mod cache;
pub(super) mod checkpoint;
mod data;
mod image;
mod other_volumes;
mod program;
mod run;
mod volume;

use super::flags::{JsonFlag, ReadFlags};
use super::{Session, aligned};
use crate::output::Output;
use anyhow::{Context, bail};
use clap::Args;
use desam::encoder::checkpoint::is_model_folder;
use desam::types::text::DisplayPath as _;
use desam::volume::volumes::{VolumeFormat, is_series};
use std::path::{Path, PathBuf};

const AFTER: &str = "\
Examples:
  desam info sam_vit_b_01ec64.pth      parts, sizes, parameters, hashes
  desam info t2.nii.gz                 dimensions, spacing, affine, range of values
  desam info photo.png                 dimensions, channels, range of values
  desam info cache --verify            sites, cases, size; verifies all checksums
  desam info run --json                settings and best epoch, as JSON
  desam info                           version, threads and GPUs of this program";

/// Describe a checkpoint, volume, feature cache, run or data set
///
/// A checkpoint may be a file or a Hugging Face model folder. Without FILE, describes this program: its
/// version, threads and GPUs.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// File or folder to describe
    #[arg(value_name = "FILE", required_if_eq("verify", "true"))]
    path: Option<PathBuf>,

    /// Read a whole feature cache, including the weights in it, and verify all checksums
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    #[command(flatten)]
    read: ReadFlags,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let Some(path) = &arguments.path else {
        return program::describe(session);
    };
    let kind = std::fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display_escaped()))?;
    if arguments.verify && !path.join("cache.json").is_file() {
        bail!(
            "{}: --verify needs a feature cache, a folder that contains cache.json",
            path.display_escaped()
        );
    }
    let read = arguments.read.options();
    if !kind.is_dir() {
        return match VolumeFormat::of_name(path) {
            Some(format) => volume::describe(path, format, &read, session),
            None if is_table(path) => data::describe(path, session),
            None => checkpoint::describe(&desam::encoder::Checkpoint::open(path)?),
        };
    }
    if path.join("cache.json").is_file() {
        cache::describe(path, arguments.verify, session)
    } else if is_model_folder(path) {
        checkpoint::describe(&desam::encoder::Checkpoint::open(path)?)
    } else if path.join("config.json").is_file() {
        run::describe(path)
    } else if is_series(path)? {
        other_volumes::warn(path, session)?;
        volume::describe(path, VolumeFormat::Dicom, &read, session)
    } else {
        data::describe(path, session)
    }
}

/// Whether the path is a CSV file of cases.
fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"))
}
