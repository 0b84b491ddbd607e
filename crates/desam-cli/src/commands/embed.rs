//! `desam embed`: volumes to cached features.

mod encoder;
mod parts;

use super::precision::PrecisionFlag;
use super::preprocess::PreprocessFlags;
use super::read_flags::ReadFlags;
use super::{Session, aligned, json_path, one_of, seed, whole};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use desam::data::cache::{FeatureDtype, SlicePolicy, human_bytes};
use desam::embed::{EmbedRequest, EmbedSummary, PartSummary};
use desam::types::text::DisplayPath as _;
use encoder::Encoder;
use parts::{Done, Parts};
use serde_json::json;
use std::ops::RangeInclusive;
use std::path::PathBuf;

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

Labels go to the side of the encoder's masks (256 for SAM's, 64 for tiny) and masks come back to the
volumes' own grids. What that loses is said for each site, as Dice of the labels and what comes back,
and is a warning above 2 %: it is about the most that a model can score on whole volumes.

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
  desam embed --data DATA --out cache-parity --encoder vit-b --preprocess official
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
    #[arg(long, value_name = "NAME|FILE", value_parser = OsStringValueParser::new().map(Encoder::from))]
    encoder: Encoder,

    /// Seed of the random weights of `--encoder tiny-random` [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    encoder_seed: Option<u64>,

    #[command(flatten)]
    preprocess: PreprocessFlags,

    /// Type of the stored features; f16 takes half the space of f32
    #[arg(long, value_name = "TYPE", default_value = "f16",
        value_parser = one_of::<FeatureDtype>(&["f16", "f32"]))]
    dtype: FeatureDtype,

    /// Slices to store: those with ground truth (all that training and the paper's protocol need),
    /// all (for the full protocol), or none: images and masks alone, for `desam train --no-cache`
    #[arg(long, value_name = "WHICH", default_value = "labelled",
        value_parser = one_of::<SlicePolicy>(&["labelled", "all", "none"]))]
    slices: SlicePolicy,

    /// Input side in pixels, 64 to 4096, a multiple of the patch [default: the checkpoint's, SAM's
    /// 1024]
    #[arg(long, value_name = "PX", allow_negative_numbers = true, value_parser = whole(INPUT_SIDE))]
    input_side: Option<usize>,

    #[command(flatten)]
    precision: PrecisionFlag,

    /// Slices of a case to encode at once, 1 to 1024 [default: 1, on a GPU 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1..=1024))]
    batch: Option<usize>,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, since their headings would go on for what follows.
    #[command(flatten)]
    read: ReadFlags,

    #[command(flatten)]
    parts: Parts,
}

/// Sides of the encoder's input: with fewer pixels the masks are too coarse to hold an organ.
const INPUT_SIDE: RangeInclusive<usize> = 64..=4096;

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    if !arguments.data.exists() {
        bail!(
            "{} is not there: --data takes a folder of cases or a CSV file",
            arguments.data.display_escaped()
        );
    }
    // Before an encoder is downloaded.
    let compute = session.compute(arguments.precision.precision)?;
    let encoder = arguments.encoder.choice(arguments.encoder_seed, session)?;
    let mut request = EmbedRequest::new(&arguments.data, &arguments.out, encoder)
        .with_preprocess(arguments.preprocess.config())
        .with_dtype(arguments.dtype)
        .with_slices(arguments.slices)
        .with_compute(compute)
        .with_read(arguments.read.options());
    (request.input_side, request.batch) = (arguments.input_side, arguments.batch);
    session.detail(&format!("settings: {request:?}"));
    match parts::run(&arguments.parts, &request, session)? {
        Done::Whole => {
            let text = aligned(&[("cache", arguments.out.display_escaped())]);
            Ok(Reply::new(text, json!({ "cache": json_path(&arguments.out), "whole": true })))
        }
        Done::All(summary) => reply(arguments, summary, None),
        Done::Part(part) => reply(arguments, part.own.clone(), Some(&part)),
    }
}

/// What is said of a run, or of a part of one.
fn reply(
    arguments: &Arguments,
    summary: EmbedSummary,
    part: Option<&PartSummary>,
) -> anyhow::Result<Reply> {
    let labels: Vec<(String, String)> =
        summary.labels.iter().map(|s| (format!("labels {}", s.site), s.line())).collect();
    let mut rows = vec![
        ("cache", arguments.out.display_escaped()),
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
    rows.extend(labels.iter().map(|(name, line)| (name.as_str(), line.clone())));
    rows.extend(part.map(|part| ("part", parts::state(part))));
    let mut json = serde_json::to_value(summary).context("the result cannot be written as JSON")?;
    if let Some(object) = json.as_object_mut() {
        object.insert("cache".to_owned(), json_path(&arguments.out));
        if let Some(PartSummary { part, waiting_for, .. }) = part {
            object.insert("part".to_owned(), json!(part.index()));
            object.insert("num_parts".to_owned(), json!(part.of()));
            object.insert("waiting_for".to_owned(), json!(waiting_for));
        }
    }
    Ok(Reply::new(aligned(&rows), json))
}
