//! `desam evaluate`: scores of one model on every site.

use super::flags::{BaseFlag, BootstrapFlags, JsonFileFlag, PrecisionFlag, PromptFlags};
use super::output_files::{ForceFlag, ensure_parent_dir};
use super::values::{enum_values, integer};
use super::{Session, json_path};
use crate::output::Output;
use crate::usage::usage;
use clap::{Args, ValueEnum};
use desam::Model;
use desam::data::cache::FeatureCache;
use desam::data::lock;
use desam::data::preprocess::Interpolation;
use desam::metrics::metric::{CaseMetric, OneEmpty};
use desam::types::text::path_for_people;
use desam_study::evaluate::{
    EvaluateConfig, EvaluateRequest, Evaluation, Protocol, ScoringSettings, evaluate,
    evaluation_stem,
};
use desam_study::train::RunDir;
use serde_json::json;
use std::path::{Path, PathBuf};

const AFTER: &str = "\
Protocols, which are never mixed in one table:
  paper   that of the official program: masks at the model's resolution, only slices with ground
          truth, a border of the prediction set to zero (50 px of 256), Dice over each case's stack
  full    the whole volume on its own grid against the label file, and how much slices without
          ground truth cost
  native  slices with ground truth on the volume's own grid, no border, as methods at other image
          sizes report (DAPSAM and CSDG average over cases, DeSAM over sites; both are given)
Full and native need a cache of all slices (`desam embed --slices all`).
At the source site only the held-out cases are scored. An empty prediction has a Dice of 0.

Metrics (most of the time is spent predicting, so list all metrics in one call):
  dice jaccard precision recall      overlap
  hd hd95 robust-hd95 asd assd       surface distances in mm (Hausdorff, average)
  surface-dice@MM                    fraction of both surfaces within MM mm of each other
  volume-error                       predicted minus true volume in ml
  relative-volume-error              the same as a fraction of the true volume
  all                                all of these, surface Dice at 1, 2 and 3 mm
Of a model of several classes the score of a case is the mean of its classes, which are listed below. A \
relative volume error has no value where the truth is empty and something was found: such cases are left out \
of its means and counted (infinite with --empty infinite).
Dice needs only the features. Under the paper protocol, metrics in mm or ml also read the volumes, \
for their voxel spacing.

Columns of the CSV file:
  truth_voxels, predicted_voxels, truth_ml, predicted_ml
                      of all classes together; in ml with protocols full and native
  dice_0_to_1 and the other metrics
                      means over the classes of the case: so is volume_error_ml, which is then not
                      the difference of the volumes beside it
  truth_ml_CLASS, predicted_ml_CLASS, dice_0_to_1_CLASS, ...
                      the same of each class, where there are several
  empty_slices and others
                      predictions on slices without ground truth, with protocol full
  not_scored_because  the reason, where a case is not scored
  confidence_0_to_1   the Dice that the model expected of its masks on the scored slices, if it is
                      calibrated

Examples:
  desam evaluate --cache cache --run run
  desam evaluate --cache cache --run run --metrics dice,hd95,assd,surface-dice@2 --bootstrap
  desam evaluate --cache cache --run run --protocol full --json scores.json --csv scores.csv";

/// Score a model on every site of a feature cache: Dice per case, mean per site
///
/// Prints a table, and writes evaluation_PROTOCOL.json and evaluation_PROTOCOL.csv (one row per case)
/// to the run folder unless other files are given. If these files hold scores of other settings, the
/// settings that differ are appended to the name, such as evaluation_paper_border0.json. Scores of
/// the same settings are overwritten only with --force. Dice is in percent in the table and from 0 to
/// 1 in the files.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Feature cache of `desam embed` with all sites to score
    #[arg(long, value_name = "CACHE")]
    cache: PathBuf,

    /// Run folder of `desam train`
    #[arg(long, value_name = "RUN")]
    run: PathBuf,

    #[command(flatten)]
    base: BaseFlag,

    /// Evaluation protocol, which decides the voxels to compare; see --help
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = enum_values::<Protocol>())]
    protocol: Protocol,

    /// Width in mask pixels of the border of each prediction that is set to zero, 0 to 8192 [default:
    /// 50 px of 256, in proportion to the mask, with protocol paper; else 0]
    #[arg(long, value_name = "PX", allow_negative_numbers = true, value_parser = integer(0..=8192))]
    border: Option<usize>,

    /// Interpolation of masks on the volume's own grid, with protocols full and native. linear: of the logits,
    /// before they are thresholded. nearest: each voxel takes the nearest mask pixel [default: linear,
    /// nearest with the official program's preprocessing]
    #[arg(long, value_name = "HOW", value_parser = enum_values::<Interpolation>())]
    mask_interpolation: Option<Interpolation>,

    #[command(flatten)]
    prompts: PromptFlags,

    /// Match the intensities of each volume to those of the training volumes, by histogram, as `desam predict
    /// --match-source` does. The image encoder runs on the images in CACHE: its features are not used, and
    /// need not be there
    #[arg(long)]
    match_source: bool,

    /// Sites to score, separated by commas [default: all sites in the cache]
    #[arg(long, value_name = "SITES", value_delimiter = ',')]
    sites: Option<Vec<String>>,

    /// Metrics in addition to Dice, separated by commas; --help lists them
    #[arg(long, value_name = "METRICS", value_delimiter = ',', value_parser = metric)]
    metrics: Vec<Metrics>,

    /// Value of a distance metric if exactly one of the two masks is empty. diagonal: the diagonal
    /// of the volume. infinite: infinity, also of a relative volume error without a true volume. left-out:
    /// none, the case is excluded from the mean and counted separately
    #[arg(long, value_enum, value_name = "POLICY", default_value = "diagonal")]
    empty: EmptyPolicyChoice,

    #[command(flatten)]
    precision: PrecisionFlag,

    #[command(flatten)]
    bootstrap: BootstrapFlags,

    #[command(flatten)]
    pub(crate) json: JsonFileFlag,

    /// Write a CSV file with one row per case to FILE
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    #[command(flatten)]
    force: ForceFlag,
}

/// Metrics that one name of `--metrics` stands for.
#[derive(Debug, Clone)]
struct Metrics(Vec<CaseMetric>);

/// Parser of `--metrics`.
fn metric(name: &str) -> Result<Metrics, String> {
    if name.trim() == "all" {
        return Ok(Metrics(CaseMetric::all()));
    }
    CaseMetric::from_typed(name).map(|m| Metrics(vec![m])).map_err(|e| e.to_string())
}

/// Values of `--empty`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum EmptyPolicyChoice {
    Diagonal,
    Infinite,
    LeftOut,
}

impl From<EmptyPolicyChoice> for OneEmpty {
    fn from(choice: EmptyPolicyChoice) -> Self {
        match choice {
            EmptyPolicyChoice::Diagonal => Self::Diagonal,
            EmptyPolicyChoice::Infinite => Self::Infinite,
            EmptyPolicyChoice::LeftOut => Self::LeftOut,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    // Usage errors first, before any file is read.
    if arguments.mask_interpolation.is_some() && arguments.protocol == Protocol::Paper {
        return Err(usage(
            "--mask-interpolation is for --protocol full or native: the paper protocol compares the masks \
             themselves",
        ));
    }
    arguments.prompts.check()?;
    let bootstrap = arguments.bootstrap.config()?;
    let compute = arguments.precision.on(&session.device)?;
    let run = RunDir::open(&arguments.run)?;
    let (settings, manifest) = (run.config()?.train, run.manifest()?);
    let model = Model::open_over(run.dir(), arguments.base.base.as_deref(), &compute)?;
    let cache = FeatureCache::open(&arguments.cache)?;
    let prompts = arguments.prompts.prompts(model.record())?;
    let mut config = EvaluateConfig::new(arguments.protocol, prompts);
    config.border_px = arguments.border;
    config.sites = arguments.sites.clone();
    config.metrics = arguments.metrics.iter().flat_map(|m| m.0.clone()).collect();
    config.one_empty = arguments.empty.into();
    config.mask_interpolation = arguments.mask_interpolation;
    config.match_source = arguments.match_source;
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    let request = EvaluateRequest::new(&cache, &model, settings.source, &config)
        .with_validation(&manifest.validation_cases);
    // Output files are checked before the work, so that no scores are lost.
    let (classes, precision) = (&model.record().classes, compute.precision());
    let planned =
        ScoringSettings::planned(&config, &cache, classes, precision, bootstrap.as_ref())?;
    let stem = evaluation_stem(run.dir(), config.protocol, &planned);
    let default_file = |extension: &str| run.dir().join(format!("{stem}.{extension}"));
    let files = ScoreFiles {
        json: arguments.json.file().map_or_else(|| default_file("json"), Path::to_owned),
        csv: arguments.csv.clone().unwrap_or_else(|| default_file("csv")),
    };
    let ScoreFiles { json, csv } = &files;
    ensure_parent_dir(json)?;
    ensure_parent_dir(csv)?;
    arguments.force.check([json.clone(), csv.clone()])?;
    // Locked together: a concurrent evaluation could otherwise pair its JSON with this CSV.
    let _locks = (lock::file(json, &session.terminal)?, lock::file(csv, &session.terminal)?);
    let mut evaluation = evaluate(&request, &session.terminal)?;
    // Absolute, because the scores may be read from another working directory.
    evaluation.cache = std::path::absolute(cache.dir()).ok();
    if let Some(bootstrap) = bootstrap {
        evaluation = evaluation.with_intervals(&bootstrap)?;
    }
    evaluation.write_json(json)?;
    evaluation.write_csv(csv)?;
    output(&evaluation, &files)
}

/// Files that the scores are written to.
#[derive(Debug)]
struct ScoreFiles {
    json: PathBuf,
    csv: PathBuf,
}

fn output(evaluation: &Evaluation, files: &ScoreFiles) -> anyhow::Result<Output> {
    let ScoreFiles { json, csv } = files;
    let text = format!(
        "{}\n\nscores  {}\ncases   {}",
        evaluation.table().trim_end(),
        path_for_people(json),
        path_for_people(csv)
    );
    let mut value = serde_json::to_value(evaluation)?;
    if let Some(object) = value.as_object_mut() {
        object
            .insert("files".to_owned(), json!({ "json": json_path(json), "csv": json_path(csv) }));
    }
    let mut output = Output::new(text, value);
    let unscored = evaluation.unscored.iter();
    output.failures =
        unscored.map(|c| format!("{}/{} was not scored: {}", c.site, c.case, c.reason)).collect();
    Ok(output)
}
