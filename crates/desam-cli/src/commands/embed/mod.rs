//! `desam embed`: image features of a data set, computed once.

mod encoder;
mod parts;
mod views;

use super::flags::{JsonFlag, PrecisionFlag, PreprocessFlags, ReadFlags};
use super::values::{enum_values, integer, seed};
use super::{Session, aligned, json_path};
use crate::output::Output;
use anyhow::bail;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use desam::data::cache::{FeatureDtype, SlicePolicy, human_bytes};
use desam::embed::{EmbedRequest, EmbedSummary, PartSummary};
use desam::types::text::DisplayPath as _;
use encoder::EncoderArg;
use parts::{EmbedOutcome, PartFlags};
use serde_json::json;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use views::ViewFlags;

const AFTER: &str = "\
Layouts of DATA. The layout is detected from the files. Volumes are NIfTI, MetaImage, NRRD or DICOM, \
two-dimensional images PNG, JPEG, TIFF or BMP; names are matched without regard to case. Labels \
are kept apart; every label above 0 is foreground unless training tells labels apart (`desam train --classes`).
  SAML release         SITE/CASE.nii.gz, SITE/CASE_segmentation.nii.gz
  MaxStyle             SITE/PATIENT/t2_img_clipped.nii.gz, SITE/PATIENT/label_clipped.nii.gz
  official DeSAM       imagesTr/NAME_0000.nii.gz, labelsTr/NAME.nii.gz and a CSV file with the
    (nnU-Net)          columns patientid,center, also within raw_data/
  Medical Segmentation imagesTr/NAME.nii.gz, labelsTr/NAME.nii.gz; one site; choose a channel of
    Decathlon          multi-channel images with --channel
  PROMISE12            CASE.mhd and CASE_segmentation.mhd in one folder; one site
  NCI-ISBI 2013        PATIENT/STUDY/SERIES/*.dcm and PATIENT.nrrd, at any depth; patients
                       Prostate3T-... form site RUNMC, ProstateDx-... site BMC
  I2CVB                SITE/PATIENT/T2W/*.dcm and SITE/PATIENT/GT/prostate/*.dcm
  images with masks    images/NAME.png and masks/NAME.png (or labels/), one site, or the same
                       in SITE/; a mask may have a suffix, such as NAME_mask.png
  CSV                  a file with the columns image,label,case,site

Two-dimensional images have no millimetres. They are stretched to the encoder's input as a whole \
(--preprocess image); colour goes to the encoder as it is, grey is clipped to its percentiles.

Encoders:
  tiny                 small (256 px), built in, trained on generated scenes; for trying the
                       program, not SAM
  tiny-random          the same architecture with random weights
  vit-b, vit-l, vit-h  SAM's encoders, downloaded once from the Hugging Face Hub
  medsam               MedSAM's encoder, likewise
  FILE                 checkpoint with SAM's encoders: .pth, .bin or .safetensors, or a Hugging Face
                       model folder

Labels are resampled to the side of the model's masks (256 px with SAM's encoders, 64 with tiny), and \
predicted masks back to the volume's grid. For each site, embed reports the Dice between the labels \
and the labels resampled both ways, which is about the highest score that a model can reach on whole \
volumes. A Dice below 98 % gives a warning.

A slice takes 40 / 52 / 64 MiB with vit-b / vit-l / vit-h in f32, and half of that in f16. The \
required disk space is printed before work starts. To continue an interrupted run, repeat the command.

Several processes or machines that share CACHE can divide the work: run the same command in each with \
--num-parts N and a different --part-id from 0 to N-1. The last part to finish assembles the cache; \
the result is byte-identical to a single run. In a Slurm array job or a Kubernetes indexed job the \
part is the task's index. deploy/ has job files.

Examples:
  desam embed --data DATA --out cache --encoder vit-b
  desam embed --data DATA --out cache-all --encoder sam_vit_h_4b8939.pth --slices all
  desam embed --data DATA --out cache --encoder vit-b --slices all --views 4
  desam embed --data DATA --out cache-parity --encoder vit-b --preprocess official
  desam embed --data DATA --out cache --encoder vit-h --num-parts 8 --part-id 3
  desam embed --data DATA --out cache --encoder vit-h --device cuda --precision bf16
  HF_HUB_OFFLINE=1 desam embed --data DATA --out cache --encoder vit-b";

/// Run the frozen image encoder on a data set and store the features
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Data set: a folder, or a CSV file of cases; --help lists the layouts
    #[arg(long, value_name = "DATA")]
    data: PathBuf,

    /// Feature cache to write: created if it does not exist, continued if it is incomplete
    #[arg(long, value_name = "CACHE")]
    out: PathBuf,

    /// Image encoder: tiny, tiny-random, vit-b, vit-l, vit-h, medsam, or a checkpoint; see --help
    #[arg(long, value_name = "NAME|FILE", value_parser = OsStringValueParser::new().map(EncoderArg::from))]
    encoder: EncoderArg,

    /// Random seed of the weights; only with `--encoder tiny-random` [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    encoder_seed: Option<u64>,

    #[command(flatten)]
    preprocess: PreprocessFlags,

    /// Data type of the stored features; f16 takes half the disk space of f32
    #[arg(long, value_name = "TYPE", default_value = "f16",
        value_parser = enum_values::<FeatureDtype>())]
    dtype: FeatureDtype,

    /// Slices to store features of. labelled: those with ground truth, enough for training and the
    /// paper protocol. all: needed for the full protocol. none: images and masks only, for `desam
    /// train --no-cache`
    #[arg(long, value_name = "WHICH", default_value = "labelled",
        value_parser = enum_values::<SlicePolicy>())]
    slices: SlicePolicy,

    /// Side of the encoder's input in pixels, 64 to 4096, a multiple of the patch size [default: that
    /// of the checkpoint; SAM's is 1024]
    #[arg(long, value_name = "PX", allow_negative_numbers = true, value_parser = integer(INPUT_SIDE))]
    input_side: Option<usize>,

    #[command(flatten)]
    precision: PrecisionFlag,

    /// Batch size: slices of a case to encode at once, 1 to 1024 [default: 1 on the CPU, 8 on a GPU]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer(1..=1024))]
    batch: Option<usize>,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, because their help headings apply to all flags that follow.
    #[command(flatten)]
    read: ReadFlags,

    #[command(flatten)]
    views: ViewFlags,

    #[command(flatten)]
    parts: PartFlags,
}

/// Sides of the encoder's input; with fewer pixels the masks are too coarse for an organ.
const INPUT_SIDE: RangeInclusive<usize> = 64..=4096;

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    // Usage errors first, before any file is read or downloaded.
    let compute = arguments.precision.on(&session.device)?;
    arguments.encoder.check_seed(arguments.encoder_seed)?;
    arguments.parts.check()?;
    if !arguments.data.exists() {
        bail!(
            "{} does not exist; --data expects a folder or a CSV file of cases",
            arguments.data.display_escaped()
        );
    }
    let views = arguments.views.views()?;
    let encoder = arguments.encoder.choice(arguments.encoder_seed, session)?;
    let read = arguments.read.options();
    let mut request = EmbedRequest::new(&arguments.data, &arguments.out, encoder)
        .with_preprocess(arguments.preprocess.config(&arguments.data, &read))
        .with_dtype(arguments.dtype)
        .with_slices(arguments.slices)
        .with_views(views)
        .with_compute(compute)
        .with_read(read);
    (request.input_side, request.batch) = (arguments.input_side, arguments.batch);
    session.detail(&format!("settings: {request:?}"));
    match parts::run(&arguments.parts, &request, session)? {
        EmbedOutcome::Assembled => {
            let text = aligned(&[("cache", arguments.out.display_escaped())]);
            Ok(Output::new(text, json!({ "cache": json_path(&arguments.out), "whole": true })))
        }
        EmbedOutcome::All(summary) => output(arguments, summary, None),
        EmbedOutcome::Part(part) => output(arguments, part.own.clone(), Some(&part)),
    }
}

/// Output of a run, or of one part.
fn output(
    arguments: &Arguments,
    summary: EmbedSummary,
    part: Option<&PartSummary>,
) -> anyhow::Result<Output> {
    let labels: Vec<(String, String)> =
        summary.labels.iter().map(|s| (format!("labels {}", s.site), s.line())).collect();
    let mut rows = vec![
        ("cache", arguments.out.display_escaped()),
        ("cases", summary.cases.to_string()),
        (
            "slices",
            format!(
                "{}{} ({} computed, {} already present)",
                summary.slices,
                match summary.views {
                    0 => String::new(),
                    views => format!(" and {views} views of them"),
                },
                summary.computed,
                summary.reused
            ),
        ),
        ("size", human_bytes(summary.bytes)),
    ];
    rows.extend(labels.iter().map(|(name, line)| (name.as_str(), line.clone())));
    rows.extend(part.map(|part| ("part", parts::state(part))));
    let mut json = serde_json::to_value(summary)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("cache".to_owned(), json_path(&arguments.out));
        if let Some(PartSummary { part, waiting_for, .. }) = part {
            object.insert("part".to_owned(), json!(part.index()));
            object.insert("num_parts".to_owned(), json!(part.of()));
            object.insert("waiting_for".to_owned(), json!(waiting_for));
        }
    }
    Ok(Output::new(aligned(&rows), json))
}
