//! Planning: from tables of the paper to runs.

use super::paper_tables::{RowSetting, SourceRule, SweepTable};
use super::sites::{PaperLetter, PaperSites, slugs};
use crate::evaluate::Protocol;
use crate::train::{Preset, TrainConfig, check_classes};
use crate::{Error, Result};
use desam::model::SourceSites;
use desam::{Mode, PAPER_GRID};
use desam_core::{ClassTable, Precision};
use desam_data::cache::{FeatureCache, SlicePolicy};
use desam_decoder::Variant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Settings of a sweep.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SweepConfig {
    /// The tables.
    pub tables: Vec<SweepTable>,
    /// The features, of all sites.
    pub cache: PathBuf,
    /// The sites to train on and to score; `None`: all in the cache.
    pub sites: Option<Vec<String>>,
    /// The sites that are the paper's.
    pub paper_sites: PaperSites,
    /// Seeds; every cell is the mean over them.
    pub seeds: Vec<u64>,
    /// Preset of the training settings.
    pub preset: Preset,
    /// The scoring protocol.
    pub protocol: Protocol,
    /// Settings that override the preset's.
    pub overrides: TrainOverrides,
    /// The cells of the tables to make.
    pub filter: CellFilter,
}

/// A site of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SweepSite {
    pub(super) site: String,
    /// The paper's letter, where the user said so.
    pub(super) letter: Option<PaperLetter>,
    /// Its part of a directory name.
    slug: String,
}

impl SweepSite {
    /// The sites of a sweep, in their order.
    pub(super) fn all(sites: &[&str], paper: &PaperSites) -> Result<Vec<Self>> {
        let parts = sites.iter().zip(paper.letters(sites)?).zip(slugs(sites));
        let domain = |((site, letter), slug): ((&&str, Option<PaperLetter>), String)| Self {
            site: (*site).to_owned(),
            letter,
            slug,
        };
        Ok(parts.map(domain).collect())
    }

    /// The site with that name, or else the one with that letter of the paper's.
    fn find<'d>(all: &'d [Self], name: &str) -> Option<&'d Self> {
        let lettered = |d: &&Self| d.letter.is_some_and(|letter| letter.to_string() == name);
        all.iter().find(|d| d.site == name).or_else(|| all.iter().find(lettered))
    }
}

/// Training settings that override a preset's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrainOverrides {
    /// Epochs.
    pub epochs: Option<usize>,
    /// Batch size.
    pub batch: Option<usize>,
    /// Learning rate of the first epoch.
    pub learning_rate: Option<f64>,
    /// Compute precision.
    pub precision: Option<Precision>,
    /// The classes to tell apart.
    pub classes: Option<ClassTable>,
}

/// Filter of table cells; `None` keeps all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CellFilter {
    /// Sites to train on, by their names or by the paper's letters.
    pub sources: Option<Vec<String>>,
    /// Modes.
    pub modes: Option<Vec<Mode>>,
    /// Decoders.
    pub variants: Option<Vec<Variant>>,
    /// Points along each side of the grid; does not apply to whole box mode.
    pub grids: Option<Vec<usize>>,
}

/// Cells of a table: a row, for one source site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableCell {
    /// The table.
    pub table: SweepTable,
    /// The row, as the paper names it.
    pub row: String,
}

/// One run: a line of `plan.jsonl`, with all its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanLine {
    /// Index of the line, from 0.
    pub index: usize,
    /// Name of its directory below `runs`.
    pub id: String,
    /// The line whose model it scores: its own `id`, or that of an earlier line with the same training.
    pub training: String,
    /// The sites of the sweep that are the paper's, as the user said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paper_sites: BTreeMap<String, PaperLetter>,
    /// A field of older plans, the paper's letter guessed from the folder name; ignored.
    #[serde(default, rename = "column", skip_serializing)]
    older_column: serde::de::IgnoredAny,
    /// The rows it belongs to; tables share runs.
    pub cells: Vec<TableCell>,
    /// The feature cache.
    #[serde(with = "desam_core::serde_path")]
    pub cache: PathBuf,
    /// Key of the cache, to detect another cache.
    pub cache_key: String,
    /// The training settings.
    pub train: TrainConfig,
    /// Points along each side of the grid; `None` in whole box mode.
    pub grid: Option<usize>,
    /// The scoring protocol.
    pub protocol: Protocol,
    /// The sites to score.
    pub sites: Vec<String>,
}

impl PlanLine {
    /// The site whose column it fills: the one it is trained on, or the one of its sites that it is not.
    pub fn column_site(&self) -> Option<&str> {
        let source = &self.train.source;
        let left_out = || self.sites.iter().map(String::as_str).find(|site| !source.contains(site));
        source.single().or_else(left_out)
    }

    /// Whether this line trains the model.
    pub fn trains(&self) -> bool {
        self.id == self.training
    }
}

/// Checks that the sites that each line trains on hold all of its classes.
fn check_labels(cache: &FeatureCache, lines: &[PlanLine]) -> Result<()> {
    let mut checked: Vec<&SourceSites> = Vec::new();
    for PlanLine { train, .. } in lines {
        if !checked.contains(&&train.source) {
            let cases = train.source.names().iter().flat_map(|site| cache.site_cases(site));
            check_classes(cache, &cases.collect::<Vec<_>>(), &train.classes)?;
            checked.push(&train.source);
        }
    }
    Ok(())
}

impl SweepConfig {
    /// A sweep over all sites of a cache, none of them the paper's, with seed 0 and the paper's settings and
    /// protocol.
    pub fn new(tables: Vec<SweepTable>, cache: impl Into<PathBuf>) -> Self {
        Self {
            tables,
            cache: cache.into(),
            sites: None,
            paper_sites: PaperSites::None,
            seeds: vec![0],
            preset: Preset::Paper,
            protocol: Protocol::Paper,
            overrides: TrainOverrides::default(),
            filter: CellFilter::default(),
        }
    }

    /// Plans the runs for the tables. Lines that train come first; a line that differs from one of them
    /// only in its grid scores that one's model.
    ///
    /// # Errors
    /// When the cache cannot be opened or does not hold what the protocol scores, a site is not there
    /// or cannot be the paper's that it is said to be, a figure is out of range, or nothing is left to
    /// do.
    pub fn plan(&self) -> Result<Vec<PlanLine>> {
        let cache = FeatureCache::open(self.cache.as_path())?;
        let header = cache.header();
        if self.protocol.on_volume_grid() && header.recipe.slices != SlicePolicy::All {
            let slices = || cache.cases().iter().map(|case| case.slices).sum();
            return Err(Error::SlicesMissing {
                protocol: self.protocol,
                cache: self.cache.clone(),
                case: None,
                needed: slices(),
                stored: cache.slices().len(),
            });
        }
        let sites = self.select_sites(&cache.sites())?;
        let several = self.tables.iter().any(|t| t.sources() == SourceRule::AllButOne);
        if several && sites.len() < 3 {
            return Err(Error::Invalid(
                "leaving one site out trains on the others: three sites are needed".into(),
            ));
        }
        if sites.len() < 2 {
            return Err(Error::Invalid(
                "a sweep trains on one site and scores others: two sites are needed".into(),
            ));
        }
        let lines = self.lines(&SweepSite::all(&sites, &self.paper_sites)?, &header.key)?;
        check_labels(&cache, &lines)?;
        Ok(lines)
    }

    /// The requested sites, each once, in the cache's order.
    fn select_sites<'c>(&self, cache: &[&'c str]) -> Result<Vec<&'c str>> {
        let Some(requested) = &self.sites else { return Ok(cache.to_vec()) };
        if let Some(lost) = requested.iter().find(|site| !cache.contains(&site.as_str())) {
            return Err(Error::Invalid(format!(
                "sites: there is no {lost}; the cache has {}",
                cache.join(", ")
            )));
        }
        Ok(cache.iter().filter(|site| requested.iter().any(|a| a == *site)).copied().collect())
    }

    /// The lines for some sites of a cache with the key `key`.
    pub(super) fn lines(&self, sites: &[SweepSite], key: &str) -> Result<Vec<PlanLine>> {
        let path = std::path::absolute(&self.cache).map_err(Error::io("find", &self.cache))?;
        let (mut seeds, sources) = (self.seeds.clone(), self.sources(sites)?);
        seeds.sort_unstable();
        seeds.dedup();
        let named = |domain: &SweepSite| Some((domain.site.clone(), domain.letter?));
        let paper_sites: BTreeMap<String, PaperLetter> = sites.iter().filter_map(named).collect();
        let mut lines: Vec<PlanLine> = Vec::new();
        for SettingCells { setting, rule, cells } in self.settings() {
            for &seed in &seeds {
                for source in &sources {
                    let RowSetting { mode, variant, grid } = setting;
                    let (trained_on, name) = match rule {
                        SourceRule::One => ((&source.site).into(), source.slug.clone()),
                        SourceRule::AllButOne => {
                            let others = sites.iter().filter(|s| s.site != source.site);
                            let others = others.map(|s| s.site.clone()).collect();
                            (SourceSites::new(others)?, format!("not-{}", source.slug))
                        }
                    };
                    let train = self.train(trained_on, mode, seed).with_variant(variant);
                    train.validate()?;
                    let training = format!("{name}-{mode}-{variant}-s{seed}");
                    lines.push(PlanLine {
                        index: 0,
                        id: training.clone(),
                        training,
                        paper_sites: paper_sites.clone(),
                        older_column: serde::de::IgnoredAny,
                        cells: cells.clone(),
                        cache: path.clone(),
                        cache_key: key.to_owned(),
                        train,
                        grid,
                        protocol: self.protocol,
                        sites: sites.iter().map(|s| s.site.clone()).collect(),
                    });
                }
            }
        }
        if lines.is_empty() {
            return Err(Error::Invalid("no cell of the tables is left to make".into()));
        }
        Ok(trainers_first(lines))
    }

    /// The distinct settings of the requested rows, each with its cells.
    fn settings(&self) -> Vec<SettingCells> {
        let mut found: Vec<SettingCells> = Vec::new();
        let mut tables = self.tables.clone();
        tables.sort_unstable();
        tables.dedup();
        for table in tables {
            for row in table.rows() {
                let Some(setting) = row.setting.filter(|s| self.filter.keeps(s)) else { continue };
                let cell = TableCell { table, row: row.name.to_owned() };
                let rule = table.sources();
                match found.iter_mut().find(|f| (f.setting, f.rule) == (setting, rule)) {
                    Some(same) => same.cells.push(cell),
                    None => found.push(SettingCells { setting, rule, cells: vec![cell] }),
                }
            }
        }
        found
    }

    fn sources<'s>(&self, sites: &'s [SweepSite]) -> Result<Vec<&'s SweepSite>> {
        let Some(requested) = &self.filter.sources else { return Ok(sites.iter().collect()) };
        if let Some(lost) = requested.iter().find(|name| SweepSite::find(sites, name).is_none()) {
            let known = sites.iter().map(|s| s.site.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::Invalid(format!(
                "sources: there is no site {lost}; there are {known}"
            )));
        }
        let chosen: Vec<&SweepSite> =
            requested.iter().filter_map(|name| SweepSite::find(sites, name)).collect();
        Ok(sites.iter().filter(|site| chosen.contains(site)).collect())
    }

    fn train(&self, source: SourceSites, mode: Mode, seed: u64) -> TrainConfig {
        let preset = TrainConfig::preset(self.preset, source, mode).with_seed(seed);
        let preset = match &self.overrides.classes {
            Some(classes) => preset.with_classes(classes.clone()),
            None => preset,
        };
        TrainConfig {
            epochs: self.overrides.epochs.unwrap_or(preset.epochs),
            batch: self.overrides.batch.unwrap_or(preset.batch),
            learning_rate: self.overrides.learning_rate.unwrap_or(preset.learning_rate),
            precision: self.overrides.precision.unwrap_or(preset.precision),
            ..preset
        }
    }
}

/// A setting with the cells that it fills.
struct SettingCells {
    setting: RowSetting,
    rule: SourceRule,
    cells: Vec<TableCell>,
}

impl CellFilter {
    fn keeps(&self, setting: &RowSetting) -> bool {
        let within = |grid: usize| self.grids.as_ref().is_none_or(|g| g.contains(&grid));
        self.modes.as_ref().is_none_or(|m| m.contains(&setting.mode))
            && self.variants.as_ref().is_none_or(|v| v.contains(&setting.variant))
            && setting.grid.is_none_or(within)
    }
}

/// Orders lines that train before those that score another's model, and numbers them. Of lines with the
/// same training the one with the paper's grid trains, or else the first.
fn trainers_first(lines: Vec<PlanLine>) -> Vec<PlanLine> {
    let (mut first, mut second): (Vec<PlanLine>, Vec<PlanLine>) = (Vec::new(), Vec::new());
    let usual = |line: &PlanLine| line.grid.is_none_or(|g| g == PAPER_GRID);
    let trainer: Vec<bool> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| {
            let alike = || lines.iter().enumerate().filter(|(_, l)| l.training == line.training);
            let chosen = alike().find(|(_, l)| usual(l)).or_else(|| alike().next());
            chosen.is_some_and(|(c, _)| c == n)
        })
        .collect();
    for (mut line, trains) in lines.into_iter().zip(trainer) {
        if trains {
            first.push(line);
        } else {
            if let Some(grid) = line.grid {
                line.id = format!("{}-grid{grid}", line.training);
            }
            second.push(line);
        }
    }
    first.extend(second);
    for (index, line) in first.iter_mut().enumerate() {
        line.index = index;
    }
    first
}
