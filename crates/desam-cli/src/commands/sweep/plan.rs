//! `desam sweep plan`.

use super::paper::PaperFlag;
use crate::cli::JsonFlag;
use crate::commands::{
    BATCH, EPOCHS, MOST_LEARNING_RATE, Session, aligned, grid_side, json_path, one_of, positive,
    seed, whole,
};
use crate::reply::Reply;
use clap::Args;
use desam::core::text::DisplayPath as _;
use desam::decoder::Variant;
use desam::{Mode, Precision};
use desam_study::evaluate::Protocol;
use desam_study::sweep::{CellFilter, PaperLetter, PaperTable, Plan, SweepConfig, TrainOverrides};
use desam_study::train::Preset;
use serde_json::json;
use std::path::PathBuf;

const AFTER: &str = "\
Tables of the paper:
  1   DeSAM in both modes, and SAM's own decoder in whole box mode, which is the paper's MedSAM;
      the other methods are no part of this program and stand in the table with the paper's figures
  2   the ablations, in grid points mode on 9 × 9 points
  3   grids of 1, 5, 9, 11, 15, 21 and 25 points a side, all of one model a source site
Tables that share a run plan it once.

Sites may be any domains, in any number and under any names: each is trained on while the others are
scored. Only --paper-sites sets the paper's figures beside ours. Without a value it takes all sites for
the paper's, by the names that they have in public releases: RUNMC or ISBI, BMC or ISBI_1.5, I2CVB or
HCRUDB, UCL, BIDMC, HK, the letters A to F, or letter-name.

Examples:
  desam sweep plan --table 1 --cache cache --out plan
  desam sweep plan --table 1,2,3 --cache cache --out plan --seeds 0,1,2 --paper-sites
  desam sweep plan --table 3 --cache cache --out plan --paper-sites Nijmegen=A,Boston=B --epochs 15";

/// Write down the runs that make tables of the paper
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// Tables of the paper: 1, 2, 3
    #[arg(long = "table", value_name = "N", required = true, value_delimiter = ',',
        value_parser = one_of::<PaperTable>(&["1", "2", "3"]))]
    tables: Vec<PaperTable>,

    /// Folder of features that `desam embed` made, of all sites
    #[arg(long, value_name = "CACHE")]
    cache: PathBuf,

    /// Folder for the plan; must not hold another one
    #[arg(long, value_name = "PLAN")]
    out: PathBuf,

    /// Sites to train on and to score, separated by commas [default: all in the cache]
    #[arg(long, value_name = "SITES", value_delimiter = ',')]
    sites: Option<Vec<String>>,

    #[command(flatten)]
    paper: PaperFlag,

    /// Seeds; a cell is their mean
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', default_value = "0",
        allow_negative_numbers = true, value_parser = seed)]
    seeds: Vec<u64>,

    /// Whose losses, prompts and choice of the best epoch to follow
    #[arg(long, value_name = "PRESET", default_value = "paper",
        value_parser = one_of::<Preset>(&["paper", "official"]))]
    preset: Preset,

    /// Which voxels are compared; full needs a cache of all slices
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = one_of::<Protocol>(&["paper", "full"]))]
    protocol: Protocol,

    /// Passes over the training slices, 1 to 1000000 [default: 50]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(EPOCHS))]
    epochs: Option<usize>,

    /// Slices a step, 1 to 65536 [default: 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(BATCH))]
    batch: Option<usize>,

    /// Learning rate of the first epoch [default: 1e-4]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true,
        value_parser = positive(MOST_LEARNING_RATE))]
    lr: Option<f64>,

    /// What training computes in; bf16 on GPUs alone, see `desam train --help` [default: f32]
    #[arg(long, value_name = "TYPE", value_parser = one_of::<Precision>(&["f32", "bf16"]))]
    precision: Option<Precision>,

    /// Sites to train on, by their names or the paper's letters [default: all]
    #[arg(long, value_name = "SITES", value_delimiter = ',', help_heading = "Fewer cells")]
    sources: Option<Vec<String>>,

    /// Modes [default: both]
    #[arg(long, value_name = "MODES", value_delimiter = ',', help_heading = "Fewer cells",
        value_parser = one_of::<Mode>(&["points", "box"]))]
    modes: Option<Vec<Mode>>,

    /// Decoders [default: all of the tables]
    #[arg(long, value_name = "VARIANTS", value_delimiter = ',', help_heading = "Fewer cells",
        value_parser = one_of::<Variant>(
            &["desam", "pimm-only", "no-iou-head", "no-mask-fusion", "sam-decoder"]))]
    variants: Option<Vec<Variant>>,

    /// Points along each side of the grid, in points mode [default: all of the tables]
    #[arg(long, value_name = "GRIDS", value_delimiter = ',', help_heading = "Fewer cells",
        allow_negative_numbers = true, value_parser = grid_side)]
    grids: Option<Vec<usize>>,

    #[command(flatten)]
    pub(super) json: JsonFlag,
}

impl Arguments {
    fn config(&self) -> SweepConfig {
        SweepConfig {
            sites: self.sites.clone(),
            paper_sites: self.paper.sites().unwrap_or_default(),
            seeds: self.seeds.clone(),
            preset: self.preset,
            protocol: self.protocol,
            overrides: TrainOverrides {
                epochs: self.epochs,
                batch: self.batch,
                learning_rate: self.lr,
                precision: self.precision,
            },
            filter: CellFilter {
                sources: self.sources.clone(),
                modes: self.modes.clone(),
                variants: self.variants.clone(),
                grids: self.grids.clone(),
            },
            ..SweepConfig::new(self.tables.clone(), &self.cache)
        }
    }
}

/// A site, and the paper's letter where it has one.
fn source(site: &str, letter: Option<&PaperLetter>) -> String {
    letter.map_or_else(|| site.to_owned(), |letter| format!("{letter} = {site}"))
}

pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let _lock = desam::data::lock::folder(&arguments.out, &session.screen)?;
    let plan = Plan::create(&arguments.out, arguments.config().plan()?)?;
    let (all, train) = (plan.lines().len(), plan.lines().iter().filter(|l| l.trains()).count());
    let lines = plan.lines().iter();
    let mut sites: Vec<String> =
        lines.map(|l| source(&l.train.source, l.paper_sites.get(&l.train.source))).collect();
    sites.sort();
    sites.dedup();
    let scored = plan.lines().first().map(|l| l.sites.clone()).unwrap_or_default();
    session.detail(&format!("{:?}", plan.lines()));
    let score = match all - train {
        0 => String::new(),
        more => {
            format!(", then {more} that score what those trained (lines {train} to {})", all - 1)
        }
    };
    let text = aligned(&[
        ("plan", arguments.out.display_escaped()),
        ("sources", sites.join(", ")),
        ("scored", scored.join(", ")),
        ("runs", format!("{train} that train (lines 0 to {}){score}", train - 1)),
        ("next", format!("desam sweep run {} --all", arguments.out.display_escaped())),
    ]);
    let json = json!({ "plan": json_path(&arguments.out), "lines": plan.lines(), "training_lines": train });
    Ok(Reply::new(text, json))
}
