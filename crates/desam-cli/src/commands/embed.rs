//! `desam embed`: volumes to cached features.

mod encoder;
mod parts;

use super::precision::PrecisionFlag;
use super::read_flags::ReadFlags;
use super::{Session, aligned, count, one_of, positive};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
use desam::data::cache::{FeatureDtype, SlicePolicy, human_bytes};
use desam::data::preprocess::{Orientation, PreprocessConfig};
use desam::embed::{EmbedRequest, EmbedSummary, PartSummary};
use encoder::Encoder;
use parts::{Done, Parts};
use serde_json::json;
use std::path::PathBuf;
use std::str::FromStr;

const AFTER: &str = "\
Layouts of DATA, recognised by what is there; volumes in NIfTI, MetaImage or NRRD, letters of either
case, any label above 0 is foreground:
  SITE/CASE.nii.gz beside SITE/CASE_segmentation.nii.gz           the SAML release
  SITE/PATIENT/t2_img_clipped.nii.gz with label_clipped.nii.gz    MaxStyle
  imagesTr/NAME_0000.nii.gz, labelsTr/NAME.nii.gz, and a CSV with patientid,center (also in
  raw_data/)                                                      nnU-Net, the official DeSAM
  imagesTr/NAME.nii.gz with labelsTr/NAME.nii.gz, one site        the Medical Segmentation Decathlon;
  of several channels choose one with --channel
  CASE.mhd beside CASE_segmentation.mhd, in one folder            PROMISE12; one site
  PATIENT/STUDY/SERIES/*.dcm and PATIENT.nrrd, at any depth       NCI-ISBI 2013; Prostate3T-… are
  RUNMC's, ProstateDx-… BMC's
  SITE/PATIENT/T2W/*.dcm with SITE/PATIENT/GT/prostate/*.dcm      I2CVB
  a CSV file with the columns image,label,case,site

Encoders:
  tiny                  small, 256 px, built in; trained on generated scenes: to try things, no SAM
  tiny-random           the same size with random weights
  vit-b, vit-l, vit-h   SAM's, downloaded once from the Hugging Face hub; medsam likewise
  FILE                  a checkpoint with SAM's encoders: .pth, .bin or .safetensors

A slice takes 40 / 52 / 64 MiB with vit-b / vit-l / vit-h in f32, half of that in f16. The size is
said before the work starts. An interrupted run continues where it stopped: give the same command
again.

Several processes or machines that share CACHE can divide the work: each gets the same command with
--num-parts N and its own --part-id, from 0. The part that is done last makes the cache whole, the
same to the byte as one run's. Within an array of Slurm or an indexed job of Kubernetes the part is
the task's number. See deploy/ for job files.

Examples:
  desam embed --data DATA --out cache --encoder vit-b
  desam embed --data DATA --out cache-all --encoder sam_vit_h_4b8939.pth --slices all
  desam embed --data DATA --out cache --encoder vit-h --num-parts 8 --part-id 3
  desam embed --data DATA --out cache --encoder vit-h --device cuda --precision bf16
  HF_HUB_OFFLINE=1 desam embed --data DATA --out cache --encoder vit-b";

/// Run the frozen image encoder over a data set once, and keep the features
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Data set: a folder, or a CSV file of cases
    #[arg(long, value_name = "DATA")]
    data: PathBuf,

    /// Folder for the features; made where absent, continued where interrupted
    #[arg(long, value_name = "CACHE")]
    out: PathBuf,

    /// Image encoder: tiny, tiny-random, vit-b, vit-l, vit-h, medsam, or a checkpoint file
    #[arg(long, value_name = "NAME|FILE")]
    encoder: Encoder,

    /// Seed of the random weights of `--encoder tiny-random` [default: 0]
    #[arg(long, value_name = "N")]
    encoder_seed: Option<u64>,

    /// How volumes become slices: paper resamples to 0.625×0.625×3.6 mm and crops to 288×288;
    /// official stretches each slice to the side of the masks
    #[arg(long, value_name = "PRESET", default_value = "official",
        value_parser = one_of::<Preprocess>(&["paper", "official"]))]
    preprocess: Preprocess,

    /// Spacing along columns, rows and slices to resample to, in mm, such as the paper's
    /// 0.625,0.625,3.6: images linearly, labels by the nearest voxel; masks come back to the
    /// volume's own grid [default: the preset's, which for official is the volume's own]
    #[arg(long, value_name = "X,Y,Z", value_parser = spacing)]
    resample: Option<[f64; 3]>,

    /// How slices are cut: axial, by the volume's affine, whatever the order of its axes; or stored,
    /// along its third axis as the file has it, which is what the official program does
    #[arg(long, value_name = "HOW", default_value = "axial",
        value_parser = one_of::<Orientation>(&["axial", "stored"]))]
    orientation: Orientation,

    /// Type of the stored features; f16 takes half the space of f32
    #[arg(long, value_name = "TYPE", default_value = "f16",
        value_parser = one_of::<FeatureDtype>(&["f16", "f32"]))]
    dtype: FeatureDtype,

    /// Slices to store: those with ground truth (all that training and the paper's protocol need),
    /// all (for the full protocol), or none: images and masks alone, for `desam train --no-cache`
    #[arg(long, value_name = "WHICH", default_value = "labelled",
        value_parser = one_of::<SlicePolicy>(&["labelled", "all", "none"]))]
    slices: SlicePolicy,

    /// Input side in pixels, a multiple of the patch [default: the checkpoint's, SAM's 1024]
    #[arg(long, value_name = "PX")]
    input_side: Option<usize>,

    #[command(flatten)]
    precision: PrecisionFlag,

    /// Slices of a case to encode at once [default: 1, on a GPU 8]
    #[arg(long, value_name = "N", value_parser = count)]
    batch: Option<usize>,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, since their headings would go on for what follows.
    #[command(flatten)]
    read: ReadFlags,

    #[command(flatten)]
    parts: Parts,
}

/// Three lengths.
fn spacing(text: &str) -> Result<[f64; 3], String> {
    let lengths: Result<Vec<f64>, String> = text.split(',').map(|n| positive(n.trim())).collect();
    lengths
        .ok()
        .and_then(|l| <[f64; 3]>::try_from(l).ok())
        .ok_or_else(|| "expected three lengths in mm above 0, such as 0.625,0.625,3.6".to_owned())
}

/// What `--preprocess` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preprocess {
    Paper,
    Official,
}

impl FromStr for Preprocess {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "paper" => Ok(Self::Paper),
            "official" => Ok(Self::Official),
            other => Err(format!("{other:?}: expected paper or official")),
        }
    }
}

impl Preprocess {
    fn config(self) -> PreprocessConfig {
        match self {
            Self::Paper => PreprocessConfig::paper(),
            Self::Official => PreprocessConfig::official(),
        }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    if !arguments.data.exists() {
        bail!(
            "{} is not there: --data takes a folder of cases or a CSV file",
            arguments.data.display()
        );
    }
    // Before an encoder is downloaded.
    arguments.precision.precision.check_on(&session.device)?;
    let preset = arguments.preprocess.config();
    let request = EmbedRequest {
        input_side: arguments.input_side,
        preprocess: PreprocessConfig {
            orientation: arguments.orientation,
            spacing_mm: arguments.resample.or(preset.spacing_mm),
            ..preset
        },
        dtype: arguments.dtype,
        slices: arguments.slices,
        device: session.device.clone(),
        precision: arguments.precision.precision,
        batch: arguments.batch,
        read: arguments.read.options(),
        ..EmbedRequest::new(
            &arguments.data,
            &arguments.out,
            arguments.encoder.choice(arguments.encoder_seed, session)?,
        )
    };
    session.detail(&format!("settings: {request:?}"));
    match parts::run(&arguments.parts, &request, session)? {
        Done::Whole => {
            let text = aligned(&[("cache", arguments.out.display().to_string())]);
            Ok(Reply::new(text, json!({ "cache": arguments.out, "whole": true })))
        }
        Done::All(summary) => reply(arguments, summary, None),
        Done::Part(part) => reply(arguments, part.own, Some(&part)),
    }
}

/// What is said of a run, or of a part of one.
fn reply(
    arguments: &Arguments,
    summary: EmbedSummary,
    part: Option<&PartSummary>,
) -> anyhow::Result<Reply> {
    let mut rows = vec![
        ("cache", arguments.out.display().to_string()),
        ("cases", summary.cases.to_string()),
        (
            "slices",
            format!(
                "{} ({} computed, {} there already)",
                summary.slices, summary.computed, summary.reused
            ),
        ),
        ("size", human_bytes(summary.bytes)),
    ];
    rows.extend(part.map(|part| ("part", parts::state(part))));
    let mut json = serde_json::to_value(summary).context("the result cannot be written as JSON")?;
    if let Some(object) = json.as_object_mut() {
        object.insert("cache".to_owned(), json!(arguments.out));
        if let Some(PartSummary { part, waiting_for, .. }) = part {
            object.insert("part".to_owned(), json!(part.index()));
            object.insert("num_parts".to_owned(), json!(part.of()));
            object.insert("waiting_for".to_owned(), json!(waiting_for));
        }
    }
    Ok(Reply::new(aligned(&rows), json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spacing_is_three_lengths() {
        assert_eq!(spacing("0.625,0.625, 3.6"), Ok([0.625, 0.625, 3.6]));
        for wrong in ["", "1", "1,1", "1,1,1,1", "1,1,0", "1,1,nan", "1,-1,1", "1;1;1"] {
            assert!(spacing(wrong).is_err(), "{wrong}");
        }
    }
}
