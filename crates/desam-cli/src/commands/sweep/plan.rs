//! `desam sweep plan`: the runs that the paper's tables need.

use super::paper_sites::PaperSitesFlag;
use crate::commands::flags::{JsonFlag, ScheduleFlags};
use crate::commands::values::{GRID_SIDE, enum_values, integer, seed};
use crate::commands::{Session, aligned, json_path};
use crate::output::Output;
use clap::Args;
use desam::decoder::Variant;
use desam::model::SourceSites;
use desam::types::ClassTable;
use desam::types::text::DisplayPath as _;
use desam::{Mode, Precision};
use desam_study::evaluate::Protocol;
use desam_study::sweep::{CellFilter, PaperLetter, Plan, SweepConfig, SweepTable, TrainOverrides};
use desam_study::train::Preset;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

const AFTER: &str = "\
Tables of the paper:
  1   DeSAM in both modes, and SAM's mask decoder in box mode, which is the paper's MedSAM; other
      methods are not implemented, and the table shows the paper's scores for them
  2   the ablations, in points mode with a 9 × 9 grid
  3   grids of 1, 5, 9, 11, 15, 21 and 25 points per side, all with one model per source site
  leave-one-out
      not in the paper: DeSAM in both modes, trained on all sites but one and scored on that one;
      published scores of other methods are shown with --protocol native
Runs that several tables need are planned once.

Sites may be any domains, with any names and in any number: each is trained on, and the others are \
evaluated. The paper's scores appear next to ours only with --paper-sites. Without a value it maps \
all sites by the names of their public releases (RUNMC or ISBI, BMC or ISBI_1.5, I2CVB or HCRUDB, \
UCL, BIDMC, HK), by the letters A to F, or by names of the form LETTER-NAME.

Examples:
  desam sweep plan --table 1 --cache cache --out plan
  desam sweep plan --table 1,2,3 --cache cache --out plan --seeds 0,1,2 --paper-sites
  desam sweep plan --table 3 --cache cache --out plan --paper-sites Nijmegen=A,Boston=B --epochs 15
  desam sweep plan --table leave-one-out --preset volume --protocol native --cache cache --out plan";

/// Plan the runs that the given tables of the paper need
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Arguments {
    /// Tables of the paper, or leave-one-out, separated by commas or given repeatedly; --help describes
    /// them
    #[arg(long = "table", value_name = "N", required = true, value_delimiter = ',',
        value_parser = enum_values::<SweepTable>())]
    tables: Vec<SweepTable>,

    /// Feature cache of `desam embed` with all sites
    #[arg(long, value_name = "CACHE")]
    cache: PathBuf,

    /// Folder for the plan; must not contain another plan
    #[arg(long, value_name = "PLAN")]
    out: PathBuf,

    /// Sites to train on and to evaluate, separated by commas [default: all sites in the cache]
    #[arg(long, value_name = "SITES", value_delimiter = ',')]
    sites: Option<Vec<String>>,

    #[command(flatten)]
    paper: PaperSitesFlag,

    /// Random seeds, separated by commas; a cell of a table is the mean over them
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', default_value = "0",
        allow_negative_numbers = true, value_parser = seed)]
    seeds: Vec<u64>,

    /// Settings of training: those of the paper, those of the official program, or volume, for masks of
    /// whole volumes; see `desam train --help`
    #[arg(long, value_name = "PRESET", default_value = "paper",
        value_parser = enum_values::<Preset>())]
    preset: Preset,

    /// Evaluation protocol; see `desam evaluate --help`. full and native need a cache of all
    /// slices
    #[arg(long, value_name = "PROTOCOL", default_value = "paper",
        value_parser = enum_values::<Protocol>())]
    protocol: Protocol,

    #[command(flatten)]
    schedule: ScheduleFlags,

    /// Compute precision of training; bf16 needs a GPU, see `desam train --help` [default: f32]
    #[arg(long, value_name = "TYPE", value_parser = enum_values::<Precision>())]
    precision: Option<Precision>,

    /// Classes to tell apart, as NAME=LABEL,NAME=LABEL; see `desam train --help` [default: all labels are one
    /// foreground]
    #[arg(long, value_name = "CLASSES")]
    classes: Option<ClassTable>,

    /// Sites to train on, by name or the paper's letter [default: all]
    #[arg(
        long,
        value_name = "SITES",
        value_delimiter = ',',
        help_heading = "Subset of the tables"
    )]
    sources: Option<Vec<String>>,

    /// Modes, separated by commas [default: both]
    #[arg(long, value_name = "MODES", value_delimiter = ',', help_heading = "Subset of the tables",
        value_parser = enum_values::<Mode>())]
    modes: Option<Vec<Mode>>,

    /// Decoders, separated by commas [default: all in the tables]
    #[arg(long, value_name = "VARIANTS", value_delimiter = ',', help_heading = "Subset of the tables",
        value_parser = enum_values::<Variant>())]
    variants: Option<Vec<Variant>>,

    /// Points along each side of the prompt grid, 1 to 64, separated by commas; points mode only
    /// [default: all in the tables]
    #[arg(long, value_name = "GRIDS", value_delimiter = ',', help_heading = "Subset of the tables",
        allow_negative_numbers = true, value_parser = integer(GRID_SIDE))]
    grids: Option<Vec<usize>>,

    #[command(flatten)]
    pub(super) json: JsonFlag,
}

impl Arguments {
    /// The library's configuration.
    fn config(&self) -> SweepConfig {
        let mut config = SweepConfig::new(self.tables.clone(), &self.cache);
        config.sites = self.sites.clone();
        config.paper_sites = self.paper.sites().unwrap_or_default();
        config.seeds = self.seeds.clone();
        config.preset = self.preset;
        config.protocol = self.protocol;
        config.overrides = TrainOverrides {
            epochs: self.schedule.epochs,
            batch: self.schedule.batch,
            learning_rate: self.schedule.lr,
            precision: self.precision,
            classes: self.classes.clone(),
        };
        config.filter = CellFilter {
            sources: self.sources.clone(),
            modes: self.modes.clone(),
            variants: self.variants.clone(),
            grids: self.grids.clone(),
        };
        config
    }
}

/// The source sites, a single one with the paper's letter if it has one.
fn source(sites: &SourceSites, letters: &BTreeMap<String, PaperLetter>) -> String {
    let letter = sites.single().and_then(|site| letters.get(site));
    letter.map_or_else(|| sites.to_string(), |letter| format!("{letter} = {sites}"))
}

pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let _lock = desam::data::lock::folder(&arguments.out, &session.terminal)?;
    let plan = Plan::create(&arguments.out, arguments.config().plan()?)?;
    let (all, train) = (plan.lines().len(), plan.lines().iter().filter(|l| l.trains()).count());
    let lines = plan.lines().iter();
    let mut sites: Vec<String> = lines.map(|l| source(&l.train.source, &l.paper_sites)).collect();
    sites.sort();
    sites.dedup();
    let scored = plan.lines().first().map(|l| l.sites.clone()).unwrap_or_default();
    session.detail(&format!("{:?}", plan.lines()));
    let score = match all - train {
        0 => String::new(),
        more => {
            format!(", then {more} that evaluate their models (lines {train} to {})", all - 1)
        }
    };
    let text = aligned(&[
        ("plan", arguments.out.display_escaped()),
        ("sources", sites.join(", ")),
        ("evaluated", scored.join(", ")),
        ("runs", format!("{train} that train (lines 0 to {}){score}", train - 1)),
        ("next", format!("desam sweep run {} --all", arguments.out.display_escaped())),
    ]);
    let json = json!({ "plan": json_path(&arguments.out), "lines": plan.lines(), "training_lines": train });
    Ok(Output::new(text, json))
}
