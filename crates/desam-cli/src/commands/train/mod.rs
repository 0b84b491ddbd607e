//! `desam train`: trains the decoder on the features of one site, or of several.

mod adapter;
mod dataset;
mod decoder;
mod optimizer;
mod run_flags;
mod source;

use super::flags::{JsonFlag, ScheduleFlags};
use super::values::{enum_values, seed};
use super::{Session, aligned};
use crate::output::Output;
use crate::usage::invalid;
use adapter::AdapterFlags;
use clap::Args;
use dataset::DatasetFlags;
use decoder::DecoderFlags;
use desam::types::text::DisplayPath as _;
use desam::{Mode, PresenceRule};
use desam_study::train::{Preset, RunDir, TrainConfig, TrainRequest, TrainSummary, train_with};
use optimizer::OptimizerFlags;
use run_flags::RunFlags;
use source::SourceFlag;
use std::path::PathBuf;

const AFTER: &str = "\
Contents of RUN:
  model.safetensors   the best model, complete (encoders and decoder; with --adapter only what was
                      trained), official parameter names
  history.csv         one row per epoch: learning rate, losses, validation Dice
  config.json         all settings of the run
  manifest.json       hashes of all inputs; training and validation cases
  checkpoints/        the latest training states, to resume from
  tensorboard/        event files, with --tensorboard

A run that was killed at any moment continues with the same command and --resume, and ends with the \
same bits as an uninterrupted run. With more --epochs than before, a run is extended: epochs already \
trained keep their learning rates, the others follow the longer schedule. Any other changed setting \
is an error that names it.

Variants (section 4.3, Fig. 3 and Table 1 of the paper):
  desam           PRIM reads the prompt, predicts the IoU and passes a mask embedding to PIMM
  pimm-only       without PRIM: PIMM fuses the image encoder's embedding; the mask does not depend
                  on the prompt, and no IoU is predicted
  no-iou-head     PRIM without its IoU head; in points mode the most stable mask is selected
  no-mask-fusion  PIMM as in pimm-only; PRIM's predicted IoU only decides whether there is a mask
  sam-decoder     SAM's own mask decoder, fine-tuned; in box mode the MedSAM of Table 1
  class-decoder   SAM's mask decoder with a mask token a class and no prompt, for --adapter: behind
                  dapsam with DAPSAM's prompt from a memory, behind lora as in SAMed
The variant is stored in the model: evaluate and predict need no flag for it.

With --adapter the model's file holds only what was trained; the encoder below it is the cache's \
model.safetensors, whose path is recorded (--base of evaluate and predict names another place). DAPSAM's \
optimizer and schedule are the default; --variant desam puts PIMM behind the adapted encoder. \
Slices are the cache's, standardised (mean 0, variance 1) for dapsam.

Examples:
  desam train --cache cache --source RUNMC --mode points --out run
  desam train --cache cache --source all-but RUNMC --mode box --preset volume --out run
  desam train --cache cache --source RUNMC --mode box --out medsam --variant sam-decoder
  desam train --cache images --source B --mode box --out run --no-cache --augment images
  desam train --cache cache --source B --mode box --out run --epochs 15 --lr 1e-3 --split last
  desam train --cache images --source B --mode box --out dapsam --adapter dapsam --input-side 384
  desam train --cache cache --source A --mode box --out zones --preset volume --classes pz=1,tz=2
  desam train --cache cache --source RUNMC --mode points --out run --resume";

/// Train the decoder on the features of one site, or of several
///
/// The encoders are frozen. PRIM is initialised from SAM's mask decoder if the checkpoint contains
/// one, PIMM at random. The model with the best Dice on the held-out cases of these
/// sites is kept.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Feature cache of `desam embed`
    #[arg(long, value_name = "CACHE")]
    cache: PathBuf,

    #[command(flatten)]
    source: SourceFlag,

    /// Prompts. points: a random point in training, a grid of points in prediction. box: one box as
    /// large as the image
    #[arg(long, value_name = "MODE", value_parser = enum_values::<Mode>())]
    mode: Mode,

    /// Run folder to write; must not contain a run yet, except with --resume
    #[arg(long, value_name = "RUN")]
    out: PathBuf,

    /// Settings: those of the paper, those of the official program, or volume: the paper's, with training
    /// on empty slices as well, for masks of whole volumes
    #[arg(long, value_name = "PRESET", default_value = "paper",
        value_parser = enum_values::<Preset>())]
    preset: Preset,

    #[command(flatten)]
    schedule: ScheduleFlags,

    /// Random seed of the initial weights, the split, the order of slices and the prompts
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
        value_parser = seed)]
    seed: u64,

    /// Checkpoint to initialise the mask decoder from: a model file, or the folder of a run. Of a model of
    /// as many classes each class starts from the one at its position; of another number the last layers
    /// are drawn from the seed [default: the checkpoint of CACHE]
    #[arg(long, value_name = "FILE|RUN")]
    init: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, because their help headings apply to all flags that follow.
    #[command(flatten)]
    dataset: DatasetFlags,

    #[command(flatten)]
    decoder: DecoderFlags,

    #[command(flatten)]
    adapter: AdapterFlags,

    #[command(flatten)]
    optimizer: OptimizerFlags,

    #[command(flatten)]
    run: RunFlags,
}

impl Arguments {
    /// The training configuration: the preset, overridden by flags.
    fn config(&self) -> anyhow::Result<TrainConfig> {
        let config = TrainConfig::preset(self.preset, self.source.sites(&self.cache)?, self.mode);
        let config = self.decoder.with_variant(config, self.adapter.default_variant());
        let mut config = self.adapter.apply(config)?;
        let ScheduleFlags { epochs, batch, lr } = self.schedule;
        config.epochs = epochs.unwrap_or(config.epochs);
        config.batch = batch.unwrap_or(config.batch);
        config.learning_rate = lr.unwrap_or(config.learning_rate);
        self.dataset.apply(&mut config);
        self.optimizer.apply(&mut config);
        self.adapter.set_warmup(&mut config);
        let config = self.dataset.with_slices(config.with_seed(self.seed));
        self.decoder.apply(config)
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let mut config = arguments.config()?;
    // Usage errors first, before any file is read.
    config.validate().map_err(invalid)?;
    config.precision.check_on(&session.device).map_err(invalid)?;
    if arguments.run.resume
        && arguments.schedule.epochs.is_none()
        && let Ok(run) = RunDir::open(&arguments.out)
    {
        config.epochs = run.config()?.train.epochs;
    }
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let request = TrainRequest::new(&arguments.cache, &arguments.out, &config)
        .with_init(arguments.init.as_deref())
        .with_device(session.device.clone());
    let summary = train_with(&request, &mut arguments.run.options(), &session.terminal)?;
    let json = serde_json::to_value(&summary)?;
    Ok(Output::new(text(&summary, &config), json))
}

/// The decoder, and the adapter before it.
fn variant_text(config: &TrainConfig) -> String {
    match &config.adapter {
        Some(adapter) => format!("{}, adapter {}", config.variant, adapter.kind),
        None => config.variant.to_string(),
    }
}

fn text(summary: &TrainSummary, config: &TrainConfig) -> String {
    let mut lines = vec![
        ("model", summary.model.display_escaped()),
        ("trained on", format!("{}, {} mode", config.source, config.mode)),
        ("variant", variant_text(config)),
        ("classes", config.classes.to_string()),
        ("best epoch", format!("{} of {}", summary.best_epoch, config.epochs)),
        (
            "validation Dice",
            format!("{:.4} (held-out cases of {})", summary.validation_dice, config.source),
        ),
        ("epochs", summary.run.join("history.csv").display_escaped()),
    ];
    if let Some(presence) = summary.presence {
        let rule = match presence.rule {
            PresenceRule::Slice => format!("predicted IoU above {:.3}", presence.threshold),
            PresenceRule::Contiguous => "predicted IoU and area favour a run of slices".to_owned(),
        };
        let text = format!(
            "{rule} (Dice of whole held-out volumes {:.4}, {:.4} without)",
            presence.dice, presence.dice_without
        );
        lines.insert(lines.len() - 1, ("mask where", text));
    }
    aligned(&lines)
}
