//! Rendering of the worst and the best cases of a run, predicted again from its features.

use super::view::{CaseRank, CaseView, Picture};
use crate::evaluate::{CaseScore, ComputedFeatures, Evaluation, Role};
use crate::{Error, Result};
use candle_core::Device;
use desam::PromptingConfig;
use desam::predict::{ClassPrediction, class_map, keep_present_slices};
use desam::render::{Tile, small_png};
use desam_core::text::DisplayPath as _;
use desam_core::{ClassMask, ImageFeatures, Progress};
use desam_data::cache::{FeatureCache, SliceRef};
use desam_metrics::metric::{BothEmpty, Confusion, Overlap};

/// Limits of the case rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GalleryConfig {
    /// Number of worst cases, and of best ones.
    pub cases_each: usize,
    /// Maximum slices per case; of more, evenly spaced ones are taken.
    pub slices: usize,
    /// Side of a picture, in pixels.
    pub side_px: usize,
    /// Maximum bytes of all pictures of a page before base64, which adds a third. Cases beyond that are left
    /// out, and named.
    pub max_bytes: usize,
}

impl Default for GalleryConfig {
    /// Three worst and three best cases, 24 slices of 256 pixels each, 24 MiB in all.
    fn default() -> Self {
        Self { cases_each: 3, slices: 24, side_px: 256, max_bytes: 24 << 20 }
    }
}

impl GalleryConfig {
    /// Sets [`cases_each`](Self::cases_each).
    #[must_use]
    pub fn with_cases_each(self, cases_each: usize) -> Self {
        Self { cases_each, ..self }
    }

    /// Sets [`slices`](Self::slices).
    #[must_use]
    pub fn with_slices(self, slices: usize) -> Self {
        Self { slices, ..self }
    }

    /// Sets [`side_px`](Self::side_px).
    #[must_use]
    pub fn with_side_px(self, side_px: usize) -> Self {
        Self { side_px, ..self }
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }
}

/// The rendered cases of a run.
#[derive(Debug, Default)]
pub(super) struct RenderedCases {
    /// Cases, the worst first, then the best.
    pub(super) views: Vec<CaseView>,
    /// Cases that were left out for size, as `SITE/CASE`.
    pub(super) left_out: Vec<String>,
}

/// Renders the cases of a run.
pub(super) struct CaseRenderer<'a> {
    pub(super) cache: &'a FeatureCache,
    pub(super) device: &'a Device,
    /// What computes the features, where they are not the cache's.
    pub(super) computed: Option<ComputedFeatures<'a>>,
    pub(super) evaluation: &'a Evaluation,
    /// The prompting of the scores.
    pub(super) automatic: &'a PromptingConfig,
    /// The predictions of a slice, one a class, cleared within the border.
    pub(super) predict: &'a dyn Fn(&ImageFeatures) -> Result<Vec<ClassPrediction>>,
}

/// A case to render.
struct ChosenCase<'a> {
    rank: CaseRank,
    case: &'a CaseScore,
    slices: Vec<SliceRef>,
}

/// The worst and the best cases by Dice, alternating, no case twice; of the target sites where there are
/// any.
fn ranked_cases(evaluation: &Evaluation, each: usize) -> Vec<(CaseRank, &CaseScore)> {
    let any = evaluation.cases.iter().any(|c| c.role == Role::Target);
    let cases = evaluation.cases.iter().filter(|c| !any || c.role == Role::Target);
    let mut ascending: Vec<&CaseScore> = cases.collect();
    ascending.sort_by(|a, b| a.dice.total_cmp(&b.dice));
    let mut ascending = ascending.into_iter();
    let mut found = Vec::new();
    // At most all cases.
    for n in 1..=each.min(ascending.len()) {
        found.extend(ascending.next().map(|case| (CaseRank::Worst(n), case)));
        found.extend(ascending.next_back().map(|case| (CaseRank::Best(n), case)));
    }
    found
}

/// At most `max` of `slices`, evenly spaced, with the first and the last.
fn evenly_spaced(slices: &[SliceRef], max: usize) -> Vec<SliceRef> {
    if slices.len() <= max {
        return slices.to_vec();
    }
    let index = |n: usize| n * (slices.len() - 1) / (max.max(2) - 1);
    (0..max).filter_map(|n| slices.get(index(n)).copied()).collect()
}

impl CaseRenderer<'_> {
    /// Renders the worst and the best cases until `bytes` are used up.
    pub(super) fn render(
        &self,
        config: &GalleryConfig,
        bytes: &mut usize,
        progress: &dyn Progress,
    ) -> Result<RenderedCases> {
        let mut chosen = Vec::new();
        for (rank, case) in ranked_cases(self.evaluation, config.cases_each) {
            chosen.push(ChosenCase { rank, case, slices: self.slices(case, config.slices)? });
        }
        let total: usize = chosen.iter().map(|c| c.slices.len()).sum();
        progress.begin("drawing", total as u64);
        let mut rendered = RenderedCases::default();
        for chosen in &chosen {
            let name = format!("{}/{}", chosen.case.site, chosen.case.case);
            if !rendered.left_out.is_empty() {
                rendered.left_out.push(name);
                continue;
            }
            let view = self.view(chosen, config.side_px, progress)?;
            let size = view.slices.iter().map(|p| p.png.len()).sum();
            match bytes.checked_sub(size) {
                Some(left) => {
                    *bytes = left;
                    rendered.views.push(view);
                }
                None => rendered.left_out.push(name),
            }
        }
        rendered.views.sort_by_key(|v| v.rank);
        progress.finish(&format!("{} cases, slice by slice", rendered.views.len()));
        Ok(rendered)
    }

    /// The slices to show of a case: from the first to the last with ground truth, as far as they are
    /// stored; all where none has ground truth.
    fn slices(&self, case: &CaseScore, max: usize) -> Result<Vec<SliceRef>> {
        let index =
            self.cache.cases().iter().position(|c| (&c.site, &c.id) == (&case.site, &case.case));
        let stored = index.map_or_else(|| Ok(Vec::new()), |case| self.case_slices(case))?;
        if stored.is_empty() {
            return Err(Error::Invalid(format!(
                "the cache {} has no slice of {}/{}; name the cache that the run was scored with",
                self.cache.dir().display_escaped(),
                case.site,
                case.case
            )));
        }
        let labelled = || stored.iter().filter(|s| s.labelled).map(|s| s.z);
        let ends = labelled().min().zip(labelled().max());
        let inside = |s: &&SliceRef| ends.is_none_or(|(first, last)| (first..=last).contains(&s.z));
        Ok(evenly_spaced(&stored.iter().filter(inside).copied().collect::<Vec<_>>(), max))
    }

    /// The predicted classes of slices of one case.
    fn predictions(&self, slices: &[SliceRef]) -> Result<Vec<ClassMask>> {
        let Some(case) = slices.first().map(|slice| slice.case) else { return Ok(Vec::new()) };
        // A volume that decides as a whole is predicted as a whole.
        let whole =
            self.evaluation.protocol.on_volume_grid() && !self.automatic.presence_rule.is_slice();
        let wanted = if whole { self.case_slices(case)? } else { slices.to_vec() };
        let table = match &self.computed {
            Some(computed) => computed.table(self.cache, case)?,
            None => None,
        };
        let mut predicted = Vec::with_capacity(wanted.len());
        for slice in &wanted {
            let features = match &self.computed {
                Some(computed) => computed.encode(self.cache, slice, table.as_ref())?,
                None => self.cache.features(slice, self.device)?,
            };
            predicted.push((self.predict)(&features)?);
        }
        if whole {
            keep_present_slices(&mut predicted, self.automatic);
        }
        let shown = wanted.iter().zip(&predicted).filter(|(slice, _)| slices.contains(slice));
        shown.map(|(_, classes)| Ok(class_map(classes)?)).collect()
    }

    /// The slices of a case that can be predicted.
    fn case_slices(&self, case: usize) -> Result<Vec<SliceRef>> {
        Ok(match &self.computed {
            Some(_) => self.cache.processed_slices(case)?,
            None => self.cache.case_slices(case).to_vec(),
        })
    }

    fn view(
        &self,
        chosen: &ChosenCase<'_>,
        side_px: usize,
        progress: &dyn Progress,
    ) -> Result<CaseView> {
        let ChosenCase { rank, case, slices } = chosen;
        let mut pictures = Vec::with_capacity(slices.len());
        let (mut start, mut largest) = (0, 0);
        let border_px = self.evaluation.border_px;
        for (n, (slice, prediction)) in slices.iter().zip(self.predictions(slices)?).enumerate() {
            let image = self.cache.image(slice)?;
            let truth = self.cache.class_mask(slice, &self.evaluation.classes)?;
            let area = truth.foreground().area();
            if area > largest {
                (start, largest) = (n, area);
            }
            let dice = dice(&prediction, &truth)?;
            let (prediction, truth) = (prediction.map(), Some(truth.map()));
            let tile = Tile { image: &image, prediction, truth, border_px };
            pictures.push(Picture {
                site: case.site.clone(),
                case: case.case.clone(),
                slice: slice.z,
                dice,
                png: small_png(&tile, side_px)?,
            });
            progress.advance(1, &format!("{}/{} slice {}", case.site, case.case, slice.z));
        }
        Ok(CaseView {
            site: case.site.clone(),
            case: case.case.clone(),
            rank: *rank,
            dice: case.dice,
            slices: pictures,
            start,
        })
    }
}

/// Dice of a slice, the mean over classes.
fn dice(prediction: &ClassMask, truth: &ClassMask) -> Result<Option<f64>> {
    let mut values = Vec::new();
    for class in 1..=truth.classes() {
        let counts = Confusion::count(prediction.class(class).data(), truth.class(class).data())?;
        values.extend(Overlap::Dice.of(&counts, BothEmpty::Perfect));
    }
    Ok((!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::evaluation;

    #[test]
    fn the_worst_and_the_best_are_chosen_by_turns() {
        let all = evaluation();
        let names = |each| -> Vec<(CaseRank, &str, &str)> {
            let picks = ranked_cases(&all, each).into_iter();
            picks.map(|(pick, c)| (pick, c.site.as_str(), c.case.as_str())).collect()
        };
        // The target cases are B/Case1 (0), B/Case2 and C/Case1 (0.8 each, in their order).
        let (worst, best) = ((CaseRank::Worst(1), "B", "Case1"), (CaseRank::Best(1), "C", "Case1"));
        assert_eq!(names(1), [worst, best]);
        assert_eq!(names(5), [worst, best, (CaseRank::Worst(2), "B", "Case2")]);
        assert_eq!(names(usize::MAX), names(5));
        assert!(names(0).is_empty());
        let mut own = evaluation();
        own.cases.retain(|c| c.role == Role::SourceValidation);
        assert_eq!(ranked_cases(&own, 3).len(), 1);
    }

    #[test]
    fn slices_are_spread_with_both_ends() {
        let slices: Vec<SliceRef> =
            (0..10).map(|z| SliceRef { case: 0, z, labelled: true }).collect();
        let z = |most| evenly_spaced(&slices, most).iter().map(|s| s.z).collect::<Vec<_>>();
        assert_eq!(z(4), [0, 3, 6, 9]);
        assert_eq!((z(10).len(), z(11).len(), z(1), z(0).len()), (10, 10, vec![0], 0));
    }
}
