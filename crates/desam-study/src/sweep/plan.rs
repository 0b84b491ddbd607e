//! From tables of the paper to runs.

use super::paper::{PAPER_GRID, PaperTable, Setting};
use super::sites::{Letter, PaperSites, slugs};
use crate::evaluate::Protocol;
use crate::train::{Preset, TrainConfig};
use crate::{Error, Result};
use desam::Mode;
use desam_core::Precision;
use desam_data::cache::{FeatureCache, SlicePolicy};
use desam_decoder::Variant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a sweep should make.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepConfig {
    /// The tables.
    pub tables: Vec<PaperTable>,
    /// The features, of all sites.
    pub cache: PathBuf,
    /// The sites to train on and to score, any number under any names; `None` takes all in the cache.
    pub sites: Option<Vec<String>>,
    /// Which of them are the paper's.
    pub paper_sites: PaperSites,
    /// Seeds; every cell is their mean.
    pub seeds: Vec<u64>,
    /// Whose figures training follows.
    pub preset: Preset,
    /// Which voxels are compared.
    pub protocol: Protocol,
    /// Other figures than the preset's.
    pub changes: Changes,
    /// Which of the tables' cells to make.
    pub subset: Subset,
}

/// A site of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) site: String,
    /// Which of the paper's it is, where the user said so.
    pub(super) letter: Option<Letter>,
    /// Its part of a folder's name.
    slug: String,
}

impl Domain {
    /// The sites of a sweep, in their order.
    pub(super) fn all(sites: &[&str], paper: &PaperSites) -> Result<Vec<Self>> {
        let parts = sites.iter().zip(paper.letters(sites)?).zip(slugs(sites));
        let domain = |((site, letter), slug): ((&&str, Option<Letter>), String)| Self {
            site: (*site).to_owned(),
            letter,
            slug,
        };
        Ok(parts.map(domain).collect())
    }

    /// The site of that name, or else the one that has it for a letter of the paper's.
    fn find<'d>(all: &'d [Self], name: &str) -> Option<&'d Self> {
        let lettered = |d: &&Self| d.letter.is_some_and(|letter| letter.to_string() == name);
        all.iter().find(|d| d.site == name).or_else(|| all.iter().find(lettered))
    }
}

/// Figures that take the place of a preset's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Changes {
    /// Passes over the training slices.
    pub epochs: Option<usize>,
    /// Slices a step.
    pub batch: Option<usize>,
    /// Learning rate of the first epoch.
    pub learning_rate: Option<f64>,
    /// What a step computes in.
    pub precision: Option<Precision>,
}

/// Cells that are asked for; `None` asks for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subset {
    /// Sites to train on, by their names or by the paper's letters.
    pub sources: Option<Vec<String>>,
    /// Modes.
    pub modes: Option<Vec<Mode>>,
    /// Decoders.
    pub variants: Option<Vec<Variant>>,
    /// Points along each side of the grid; whole box mode has none and is not touched.
    pub grids: Option<Vec<usize>>,
}

/// A cell of a table, to be filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The table.
    pub table: PaperTable,
    /// The row, as the paper names it.
    pub row: String,
}

/// One run: a line of `plan.jsonl`. Everything that decides it is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanLine {
    /// Which line, from 0.
    pub index: usize,
    /// Name of its folder below `runs`.
    pub id: String,
    /// The line whose model it scores: its own `id`, or that of an earlier line that trains alike.
    pub training: String,
    /// Which sites of the sweep are the paper's, as the user said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paper_sites: BTreeMap<String, Letter>,
    /// What plans of earlier versions took the source for by the name of its folder; read, and not
    /// used.
    #[serde(default, rename = "column", skip_serializing)]
    older_column: serde::de::IgnoredAny,
    /// The rows it belongs to. Tables share runs.
    pub cells: Vec<Cell>,
    /// The features.
    #[serde(with = "desam_core::serde_path")]
    pub cache: PathBuf,
    /// Their key, by which another cache is known.
    pub cache_key: String,
    /// How the model is trained.
    pub train: TrainConfig,
    /// Points along each side of the grid; `None` in whole box mode.
    pub grid: Option<usize>,
    /// Which voxels are compared.
    pub protocol: Protocol,
    /// The sites that are scored.
    pub sites: Vec<String>,
}

impl PlanLine {
    /// Whether it trains a model itself.
    pub fn trains(&self) -> bool {
        self.id == self.training
    }
}

impl SweepConfig {
    /// Tables from a cache: all its sites, none of them the paper's, seed 0, the paper's settings and
    /// protocol.
    pub fn new(tables: Vec<PaperTable>, cache: impl Into<PathBuf>) -> Self {
        Self {
            tables,
            cache: cache.into(),
            sites: None,
            paper_sites: PaperSites::None,
            seeds: vec![0],
            preset: Preset::Paper,
            protocol: Protocol::Paper,
            changes: Changes::default(),
            subset: Subset::default(),
        }
    }

    /// The runs that make the tables. Those that train come first; a line that differs from one of
    /// them in its grid alone scores that one's model.
    ///
    /// # Errors
    /// When the cache cannot be opened or does not hold what the protocol scores, a site is not there
    /// or cannot be the paper's that it is said to be, a figure is out of range, or nothing is left to
    /// do.
    pub fn plan(&self) -> Result<Vec<PlanLine>> {
        let cache = FeatureCache::open(self.cache.as_path())?;
        let header = cache.header();
        if self.protocol == Protocol::Full && header.recipe.slices != SlicePolicy::All {
            let slices = || cache.cases().iter().map(|case| case.slices).sum();
            return Err(Error::SlicesMissing {
                protocol: self.protocol,
                cache: self.cache.clone(),
                case: None,
                needed: slices(),
                stored: cache.slices().len(),
            });
        }
        let sites = self.chosen(&cache.sites())?;
        if sites.len() < 2 {
            return Err(Error::Invalid(
                "a sweep trains on one site and scores others: two sites are needed".into(),
            ));
        }
        self.lines(&Domain::all(&sites, &self.paper_sites)?, &header.key)
    }

    /// The sites that are asked for, each once, in the cache's order.
    fn chosen<'c>(&self, cache: &[&'c str]) -> Result<Vec<&'c str>> {
        let Some(asked) = &self.sites else { return Ok(cache.to_vec()) };
        if let Some(lost) = asked.iter().find(|site| !cache.contains(&site.as_str())) {
            return Err(Error::Invalid(format!(
                "sites: there is no {lost}; the cache has {}",
                cache.join(", ")
            )));
        }
        Ok(cache.iter().filter(|site| asked.iter().any(|a| a == *site)).copied().collect())
    }

    /// The lines for these sites of a cache with this key.
    pub(super) fn lines(&self, sites: &[Domain], key: &str) -> Result<Vec<PlanLine>> {
        let path = std::path::absolute(&self.cache).map_err(Error::io("find", &self.cache))?;
        let (mut seeds, sources) = (self.seeds.clone(), self.sources(sites)?);
        seeds.sort_unstable();
        seeds.dedup();
        let named = |domain: &Domain| Some((domain.site.clone(), domain.letter?));
        let paper_sites: BTreeMap<String, Letter> = sites.iter().filter_map(named).collect();
        let mut lines: Vec<PlanLine> = Vec::new();
        for (setting, cells) in self.settings() {
            for &seed in &seeds {
                for source in &sources {
                    let Setting { mode, variant, grid } = setting;
                    let train = self.train(&source.site, mode, seed).with_variant(variant);
                    train.validate()?;
                    let training = format!("{}-{mode}-{variant}-s{seed}", source.slug);
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
        Ok(in_order(lines))
    }

    /// The settings of the rows asked for, each once, with its cells.
    fn settings(&self) -> Vec<(Setting, Vec<Cell>)> {
        let mut found: Vec<(Setting, Vec<Cell>)> = Vec::new();
        let mut tables = self.tables.clone();
        tables.sort_unstable();
        tables.dedup();
        for table in tables {
            for row in table.rows() {
                let Some(setting) = row.setting.filter(|s| self.subset.has(s)) else { continue };
                let cell = Cell { table, row: row.name.to_owned() };
                match found.iter_mut().find(|(s, _)| *s == setting) {
                    Some((_, cells)) => cells.push(cell),
                    None => found.push((setting, vec![cell])),
                }
            }
        }
        found
    }

    fn sources<'s>(&self, sites: &'s [Domain]) -> Result<Vec<&'s Domain>> {
        let Some(asked) = &self.subset.sources else { return Ok(sites.iter().collect()) };
        if let Some(lost) = asked.iter().find(|name| Domain::find(sites, name).is_none()) {
            let known = sites.iter().map(|s| s.site.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::Invalid(format!(
                "sources: there is no site {lost}; there are {known}"
            )));
        }
        let chosen: Vec<&Domain> =
            asked.iter().filter_map(|name| Domain::find(sites, name)).collect();
        Ok(sites.iter().filter(|site| chosen.contains(site)).collect())
    }

    fn train(&self, source: &str, mode: Mode, seed: u64) -> TrainConfig {
        let preset = TrainConfig::preset(self.preset, source, mode).with_seed(seed);
        TrainConfig {
            epochs: self.changes.epochs.unwrap_or(preset.epochs),
            batch: self.changes.batch.unwrap_or(preset.batch),
            learning_rate: self.changes.learning_rate.unwrap_or(preset.learning_rate),
            precision: self.changes.precision.unwrap_or(preset.precision),
            ..preset
        }
    }
}

impl Subset {
    fn has(&self, setting: &Setting) -> bool {
        let within = |grid: usize| self.grids.as_ref().is_none_or(|g| g.contains(&grid));
        self.modes.as_ref().is_none_or(|m| m.contains(&setting.mode))
            && self.variants.as_ref().is_none_or(|v| v.contains(&setting.variant))
            && setting.grid.is_none_or(within)
    }
}

/// Puts lines that train before those that score another's model, and numbers them. Of lines that
/// train alike the one with the paper's grid trains, or else the first.
fn in_order(lines: Vec<PlanLine>) -> Vec<PlanLine> {
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
