//! `desam info`: what a file or folder holds.

mod cache;
pub(super) mod checkpoint;
mod data;
mod folder;
mod program;
mod run;
mod volume;

use super::read_flags::ReadFlags;
use super::{Session, aligned};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
use desam::data::volumes::{VolumeFormat, is_series};
use desam::encoder::checkpoint::is_model_folder;
use desam::types::text::DisplayPath as _;
use std::path::{Path, PathBuf};

const AFTER: &str = "\
Examples:
  desam info sam_vit_b_01ec64.pth      parts, sizes, parameters, hash
  desam info t2.nii.gz                 dimensions, spacing, affine, values; any format
  desam info cache --verify            sites, cases, bytes; compares every checksum
  desam info run --json                a run's settings and best epoch, for a program
  desam info                           this program: version, threads, GPUs it can compute on";

/// Say what a checkpoint (a file, or a folder of the hub), a volume, a feature cache, a run or a data folder holds
///
/// Without a file: what this program is and what it can compute on.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// File or folder to look at
    #[arg(value_name = "FILE", required_if_eq("verify", "true"))]
    path: Option<PathBuf>,

    /// Read all of a feature cache, the weights beside it included, and compare the checksums
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    #[command(flatten)]
    read: ReadFlags,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let Some(path) = &arguments.path else {
        return program::describe(session);
    };
    let kind = std::fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display_escaped()))?;
    if arguments.verify && !path.join("cache.json").is_file() {
        bail!(
            "{}: --verify is for a feature cache, a folder that holds cache.json",
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
        folder::name_others(path, session)?;
        volume::describe(path, VolumeFormat::Dicom, &read, session)
    } else {
        data::describe(path, session)
    }
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"))
}
