//! `desam train`: one site's features to a model.

mod decoder;
mod keeping;
mod slices;
mod tuning;

use super::{BATCH, EPOCHS, MOST_LEARNING_RATE, Session, aligned, one_of, positive, seed, whole};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::Context;
use clap::Args;
use decoder::Decoder;
use desam::Mode;
use desam::types::text::DisplayPath as _;
use desam_study::train::{Preset, RunDir, TrainConfig, TrainRequest, TrainSummary, train_with};
use keeping::Keeping;
use slices::Slices;
use std::path::PathBuf;
use tuning::Tuning;

const AFTER: &str = "\
What is in RUN afterwards:
  model.safetensors   the best model, whole (encoders and decoder), official parameter names
  history.csv         a row an epoch: learning rate, losses, validation Dice
  config.json         every setting of the run
  manifest.json       what went in, by hash; which cases were trained on and which held out
  checkpoints/        the last states of the training, to continue from
  tensorboard/        with --tensorboard: event files

A run that was killed at any moment continues with the same command and --resume, and ends with the
same bits as one that was not. With more --epochs than before, a run grows: what was trained keeps
its learning rates, the rest follows the longer schedule. Any other change is refused by name.

Variants (paper, section 4.3, Fig. 3 and Table 1):
  desam           PRIM reads the prompt, predicts the IoU and hands PIMM a mask embedding
  pimm-only       no PRIM: PIMM fuses the encoder's embedding; every prompt has the same mask, and
                  there is no IoU
  no-iou-head     PRIM without its IoU head; in grid points mode the most stable mask is taken
  no-mask-fusion  PIMM as in pimm-only, PRIM's IoU beside it: it decides whether there is a mask
  sam-decoder     SAM's own mask decoder, fine-tuned; in box mode the MedSAM of Table 1
A model remembers its variant: evaluate and predict ask for none.

Examples:
  desam train --cache cache --source RUNMC --mode points --out run
  desam train --cache cache --source RUNMC --mode box --out medsam --variant sam-decoder
  desam train --cache images --source B --mode box --out run --no-cache --augment images
  desam train --cache cache --source B --mode box --out run --epochs 15 --lr 1e-3 --split last
  desam train --cache cache --source RUNMC --mode points --out run --resume";

/// Train the decoder on the cached features of one site
///
/// The frozen encoders stay as they are; PRIM starts from SAM's mask decoder where the weights
/// hold one, PIMM from the seed. The best model on the held-out cases of the same site is kept.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Folder of features that `desam embed` made
    #[arg(long, value_name = "CACHE")]
    cache: PathBuf,

    /// Site to train on, as its folder is named
    #[arg(long, value_name = "SITE")]
    source: String,

    /// How the model is prompted: a random point in training and a grid of points later, or one
    /// box as large as the image
    #[arg(long, value_name = "MODE", value_parser = one_of::<Mode>(&["points", "box"]))]
    mode: Mode,

    /// Folder to write the run to; must not hold a run yet, unless --resume is given
    #[arg(long, value_name = "RUN")]
    out: PathBuf,

    /// Whose losses, prompts and choice of the best epoch to follow: the paper's or the official
    /// program's
    #[arg(long, value_name = "PRESET", default_value = "paper",
        value_parser = one_of::<Preset>(&["paper", "official"]))]
    preset: Preset,

    /// Passes over the training slices, 1 to 1000000 [default: 50]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(EPOCHS))]
    epochs: Option<usize>,

    /// Slices a step, 1 to 65536 [default: 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(BATCH))]
    batch: Option<usize>,

    /// Learning rate of the first epoch; it decays as (1 - epoch/epochs)^0.9 [default: 1e-4]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true,
        value_parser = positive(MOST_LEARNING_RATE))]
    lr: Option<f64>,

    /// Seed of initial weights, split, order of slices and prompts
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
        value_parser = seed)]
    seed: u64,

    /// Checkpoint whose mask decoder to start from [default: the one that CACHE was made with]
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,

    #[command(flatten)]
    slices: Slices,

    #[command(flatten)]
    decoder: Decoder,

    #[command(flatten)]
    tuning: Tuning,

    #[command(flatten)]
    keeping: Keeping,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

impl Arguments {
    fn config(&self) -> anyhow::Result<TrainConfig> {
        let mut config = TrainConfig::preset(self.preset, &self.source, self.mode);
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.batch = self.batch.unwrap_or(config.batch);
        config.learning_rate = self.lr.unwrap_or(config.learning_rate);
        self.slices.apply(&mut config);
        self.tuning.apply(&mut config);
        self.decoder.apply(config.with_seed(self.seed))
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let mut config = arguments.config()?;
    if arguments.keeping.resume
        && arguments.epochs.is_none()
        && let Ok(run) = RunDir::open(&arguments.out)
    {
        config.epochs = run.config()?.train.epochs;
    }
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let request = TrainRequest::new(&arguments.cache, &arguments.out, &config)
        .with_init(arguments.init.as_deref())
        .with_device(session.device.clone());
    let summary = train_with(&request, &mut arguments.keeping.options(), &session.screen)?;
    let json = serde_json::to_value(&summary).context("the result cannot be written as JSON")?;
    Ok(Reply::new(text(&summary, &config), json))
}

fn text(summary: &TrainSummary, config: &TrainConfig) -> String {
    aligned(&[
        ("model", summary.model.display_escaped()),
        ("trained on", format!("{}, {} mode", config.source, config.mode)),
        ("variant", config.variant.to_string()),
        ("best epoch", format!("{} of {}", summary.best_epoch, config.epochs)),
        (
            "validation Dice",
            format!("{:.4} (held-out cases of {})", summary.validation_dice, config.source),
        ),
        ("epochs", summary.run.join("history.csv").display_escaped()),
    ])
}
