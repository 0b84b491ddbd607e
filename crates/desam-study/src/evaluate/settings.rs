//! Scoring settings, which two evaluations must share before their scores may be compared.

use super::{EvaluateConfig, Evaluation, Protocol};
use desam::select::SelectionConfig;
use desam::{Mode, PresenceRule};
use desam_core::{ClassTable, Precision};
use desam_data::cache::FeatureCache;
use desam_data::preprocess::Interpolation;
use desam_metrics::metric::{CaseMetric, EmptyPolicy};
use desam_metrics::statistics::BootstrapConfig;
use std::fmt::Debug;
use std::path::Path;

/// One setting of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Display name.
    pub name: &'static str,
    /// Display value.
    pub value: String,
    /// Whether scores with another value are not comparable. The other settings (sites, metrics,
    /// intervals) only say how much was scored.
    pub decides: bool,
}

/// All settings of an evaluation, done or planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoringSettings {
    settings: Vec<Setting>,
}

/// The values of all settings, from an evaluation or from its request.
struct SettingValues<'a> {
    protocol: Protocol,
    mode: Mode,
    grid: Option<usize>,
    selection: &'a SelectionConfig,
    presence: Option<f32>,
    presence_rule: PresenceRule,
    interpolation: Option<Interpolation>,
    match_source: bool,
    classes: &'a ClassTable,
    border_px: usize,
    mask_side: usize,
    precision: Precision,
    empty: &'a EmptyPolicy,
    sites: Vec<&'a str>,
    metrics: &'a [CaseMetric],
    bootstrap: Option<&'a BootstrapConfig>,
    cache: Option<&'a Path>,
}

impl SettingValues<'_> {
    /// The interpolation of masks: files from before there was a choice used the nearest pixel.
    fn interpolation(&self) -> &'static str {
        match self.protocol {
            Protocol::Full | Protocol::Native => {
                self.interpolation.unwrap_or(Interpolation::Nearest).name()
            }
            Protocol::Paper => "none",
        }
    }

    fn settings(mut self) -> ScoringSettings {
        self.sites.sort_unstable();
        self.sites.dedup();
        let prompts = match (self.mode, self.grid) {
            (Mode::Points, Some(n)) => format!("grid{n}"),
            (mode, _) => mode.to_string(),
        };
        let metrics: Vec<String> = self.metrics.iter().map(ToString::to_string).collect();
        let intervals = self.bootstrap.map_or("none".to_owned(), |b| {
            format!("{:?} {} {} {}", b.method, b.resamples, b.level, b.seed).to_lowercase()
        });
        let word = |value: &dyn Debug| format!("{value:?}").to_lowercase();
        let cache = self.cache.and_then(Path::file_name).unwrap_or_default();
        let all = [
            ("protocol", self.protocol.to_string(), true),
            ("prompts", prompts, true),
            ("selection", word(self.selection), true),
            ("presence", self.presence.map_or("none".to_owned(), |t| t.to_string()), true),
            ("presence rule", self.presence_rule.to_string(), true),
            ("interpolation", self.interpolation().to_owned(), true),
            ("matching", if self.match_source { "source" } else { "none" }.to_owned(), true),
            ("classes", self.classes.to_string(), true),
            ("border", self.border_px.to_string(), true),
            ("mask side", self.mask_side.to_string(), true),
            ("precision", self.precision.to_string(), true),
            ("empty", word(&self.empty.one), true),
            ("sites", self.sites.join("-"), false),
            ("metrics", metrics.join("-"), false),
            ("intervals", intervals, false),
            ("cache", desam_core::text::name_text(cache).into_owned(), false),
        ];
        let setting = |(name, value, decides)| Setting { name, value, decides };
        ScoringSettings { settings: all.map(setting).to_vec() }
    }
}

impl ScoringSettings {
    /// The settings of a planned evaluation of a model that tells these classes apart.
    ///
    /// # Errors
    /// When the border leaves no pixel of a mask.
    pub fn planned(
        config: &EvaluateConfig,
        cache: &FeatureCache,
        classes: &ClassTable,
        precision: Precision,
        bootstrap: Option<&BootstrapConfig>,
    ) -> crate::Result<Self> {
        let mask_side = cache.header().recipe.spec.mask_side();
        let automatic = &config.automatic;
        let points = automatic.mode == Mode::Points;
        let whole = std::path::absolute(cache.dir()).ok();
        let sites = match &config.sites {
            Some(sites) => sites.iter().map(String::as_str).collect(),
            None => cache.sites(),
        };
        Ok(SettingValues {
            protocol: config.protocol,
            mode: automatic.mode,
            grid: points.then_some(automatic.grid),
            selection: &automatic.selection,
            presence: automatic.presence_threshold,
            presence_rule: automatic.presence_rule,
            interpolation: config.interpolation(&cache.header().recipe.preprocess),
            match_source: config.match_source,
            classes,
            border_px: config.border_for(mask_side)?,
            mask_side,
            precision,
            empty: &config.empty_policy(),
            sites,
            metrics: &config.all_metrics(),
            bootstrap,
            cache: whole.as_deref(),
        }
        .settings())
    }

    /// The settings of an evaluation.
    pub fn of(evaluation: &Evaluation) -> Self {
        let scored = evaluation.cases.iter().map(|c| c.site.as_str());
        let unscored = evaluation.unscored.iter().map(|c| c.site.as_str());
        SettingValues {
            protocol: evaluation.protocol,
            mode: evaluation.mode,
            grid: evaluation.grid,
            selection: &evaluation.selection,
            presence: evaluation.presence_threshold,
            presence_rule: evaluation.presence_rule,
            interpolation: evaluation.mask_interpolation,
            match_source: evaluation.match_source,
            classes: &evaluation.classes,
            border_px: evaluation.border_px,
            mask_side: evaluation.mask_side,
            precision: evaluation.precision,
            empty: &evaluation.empty_policy,
            sites: scored.chain(unscored).collect(),
            metrics: &evaluation.metrics,
            bootstrap: evaluation.bootstrap.as_ref(),
            cache: evaluation.cache.as_deref(),
        }
        .settings()
    }

    /// All settings, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter()
    }

    /// The settings in which `other` differs. A cache that only one of the two names is no difference.
    pub fn differences(&self, other: &Self) -> Vec<&Setting> {
        let same = |a: &Setting, b: &Setting| {
            a.value == b.value || (a.name == "cache" && (a.value.is_empty() || b.value.is_empty()))
        };
        let pairs = self.settings.iter().zip(&other.settings);
        pairs.filter(|(a, b)| !same(a, b)).map(|(a, _)| a).collect()
    }
}
