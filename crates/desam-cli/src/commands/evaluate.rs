//! `desam evaluate`: one model, every site.

use super::draws::Draws;
use super::overwrite::Force;
use super::precision::PrecisionFlag;
use super::{Session, grid_side, json_path, one_of, room_for, whole};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use desam::core::text::path_for_people;
use desam::data::cache::FeatureCache;
use desam::data::lock;
use desam::metrics::metric::{CaseMetric, OneEmpty};
use desam::{Automatic, Mode, Model};
use desam_study::evaluate::{
    EvaluateConfig, EvaluateRequest, Evaluation, Protocol, ScoringSettings, evaluate,
    evaluation_stem,
};
use desam_study::sweep::PAPER_GRID;
use desam_study::train::RunDir;
use serde_json::json;
use std::path::{Path, PathBuf};

const AFTER: &str = "\
Two protocols, never mixed in one table:
  paper   what the official program scores: masks of the model's side, only slices with ground
          truth, a border of the prediction zeroed (50 px of 256), Dice over each case's stack
  full    the whole volume on its own grid against the label file; needs a cache of all slices
          (`desam embed --slices all`)
Of the source site only the held-out cases are scored. An empty prediction is a Dice of 0.

Metrics (predicting takes the time: ask for all that are wanted at once):
  dice jaccard precision recall      overlap
  hd hd95 robust-hd95 asd assd       distances between surfaces, in mm
  surface-dice@MM                    share of the surfaces within MM millimetres of each other
  volume-error                       predicted less true volume, in ml
  relative-volume-error              the same as a share of the true volume
  all                                all of these, surface Dice at 1, 2 and 3 mm
Dice needs the features alone; under the paper protocol whatever is in mm or ml also reads the
volumes, for their spacing.

Examples:
  desam evaluate --cache cache --run run
  desam evaluate --cache cache --run run --metrics dice,hd95,assd,surface-dice@2 --bootstrap
  desam evaluate --cache cache --run run --protocol full --json scores.json --csv scores.csv";

/// Score a model on every site of a cache: Dice a case, mean a site, source to target
///
/// The table is printed; JSON and CSV (a row a case) are written to the run's folder as
/// evaluation_PROTOCOL.json and .csv unless other files are named. Where those hold scores of other
/// settings, the settings that differ are appended, as in evaluation_paper_border0.json; where they
/// hold scores of the same settings, they are replaced with --force alone. Dice is in per cent on the
/// screen, from 0 to 1 in files.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Folder of features that `desam embed` made, of all sites to score
    #[arg(long, value_name = "CACHE")]
    cache: PathBuf,

    /// Run of `desam train`
    #[arg(long, value_name = "RUN")]
    run: PathBuf,

    /// Which voxels are compared
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = one_of::<Protocol>(&["paper", "full"]))]
    protocol: Protocol,

    /// Border of each predicted mask that is set to zero, in its pixels [default: paper: 50 of
    /// 256, in proportion; full: 0]
    #[arg(long, value_name = "PX", allow_negative_numbers = true, value_parser = whole(0..=8192))]
    border: Option<usize>,

    /// How to prompt [default: as the model was trained]
    #[arg(long, value_name = "MODE", value_parser = one_of::<Mode>(&["points", "box"]))]
    mode: Option<Mode>,

    /// Points along each side of the grid, 1 to 64, in points mode alone [default: 9]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = grid_side)]
    grid: Option<usize>,

    /// Sites to score, separated by commas [default: all in the cache]
    #[arg(long, value_name = "SITES", value_delimiter = ',')]
    sites: Option<Vec<String>>,

    /// What to measure beside Dice, separated by commas; see below
    #[arg(long, value_name = "METRICS", value_delimiter = ',', value_parser = metric)]
    metrics: Vec<Metrics>,

    /// What a distance counts as in a case that was missed or invented: the volume's diagonal,
    /// infinite, or left out of means (and counted)
    #[arg(long, value_enum, value_name = "POLICY", default_value = "diagonal")]
    empty: EmptyChoice,

    #[command(flatten)]
    precision: PrecisionFlag,

    #[command(flatten)]
    draws: Draws,

    /// Write the result as JSON to FILE; without FILE, print it on stdout instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,

    /// Write a row a case to FILE
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    #[command(flatten)]
    force: Force,
}

/// What a name stands for.
#[derive(Debug, Clone)]
struct Metrics(Vec<CaseMetric>);

fn metric(name: &str) -> Result<Metrics, String> {
    if name.trim() == "all" {
        return Ok(Metrics(CaseMetric::all()));
    }
    CaseMetric::from_typed(name).map(|m| Metrics(vec![m])).map_err(|e| e.to_string())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EmptyChoice {
    Diagonal,
    Infinite,
    LeftOut,
}

impl From<EmptyChoice> for OneEmpty {
    fn from(choice: EmptyChoice) -> Self {
        match choice {
            EmptyChoice::Diagonal => Self::Diagonal,
            EmptyChoice::Infinite => Self::Infinite,
            EmptyChoice::LeftOut => Self::LeftOut,
        }
    }
}

impl Arguments {
    /// `--json` without a file.
    pub(crate) fn json_flag(&self) -> JsonFlag {
        JsonFlag { json: matches!(self.json, Some(None)) }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let run = RunDir::open(&arguments.run)?;
    let (settings, manifest) = (run.config()?.train, run.manifest()?);
    let model = Model::open_in(run.dir(), &session.device, arguments.precision.precision)?;
    let cache = FeatureCache::open(&arguments.cache)?;
    let mode = arguments.mode.unwrap_or(settings.mode);
    if arguments.grid.is_some() && mode == Mode::Box {
        bail!(
            "--grid is for points mode, and this is box mode: add --mode points, or leave it out"
        );
    }
    let grid = arguments.grid.unwrap_or(PAPER_GRID);
    let automatic = Automatic::new(mode, grid, model.spec().mask_side());
    let config = EvaluateConfig {
        border_px: arguments.border,
        sites: arguments.sites.clone(),
        metrics: arguments.metrics.iter().flat_map(|m| m.0.clone()).collect(),
        one_empty: arguments.empty.into(),
        ..EvaluateConfig::new(arguments.protocol, automatic)
    };
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let request = EvaluateRequest::new(&cache, &model, &settings.source, &config)
        .with_validation(&manifest.validation_cases);
    // Wrong settings are better found before the work than after it.
    let draws = arguments.draws.config()?;
    let precision = arguments.precision.precision;
    let planned = ScoringSettings::planned(&config, &cache, precision, draws.as_ref())?;
    let stem = evaluation_stem(run.dir(), config.protocol, &planned);
    let beside = |ending: &str| run.dir().join(format!("{stem}.{ending}"));
    let json = arguments.json.clone().flatten().unwrap_or_else(|| beside("json"));
    let csv = arguments.csv.clone().unwrap_or_else(|| beside("csv"));
    room_for(&json)?;
    room_for(&csv)?;
    arguments.force.check([json.clone(), csv.clone()])?;
    // Another evaluation would leave its JSON beside this one's CSV.
    let _locks = (lock::file(&json, &session.screen)?, lock::file(&csv, &session.screen)?);
    let mut evaluation = evaluate(&request, &session.screen)?;
    // Whoever reads it may stand elsewhere.
    evaluation.cache = std::path::absolute(cache.dir()).ok();
    if let Some(draws) = draws {
        evaluation = evaluation.with_intervals(&draws)?;
    }
    evaluation.write_json(&json)?;
    evaluation.write_csv(&csv)?;
    reply(&evaluation, (&json, &csv))
}

fn reply(evaluation: &Evaluation, (json, csv): (&Path, &Path)) -> anyhow::Result<Reply> {
    let text = format!(
        "{}\n\nscores  {}\ncases   {}",
        evaluation.table().trim_end(),
        path_for_people(json),
        path_for_people(csv)
    );
    let mut value =
        serde_json::to_value(evaluation).context("the result cannot be written as JSON")?;
    if let Some(object) = value.as_object_mut() {
        object
            .insert("files".to_owned(), json!({ "json": json_path(json), "csv": json_path(csv) }));
    }
    let mut reply = Reply::new(text, value);
    let unscored = evaluation.unscored.iter();
    reply.failures =
        unscored.map(|c| format!("{}/{} was not scored: {}", c.site, c.case, c.reason)).collect();
    Ok(reply)
}
