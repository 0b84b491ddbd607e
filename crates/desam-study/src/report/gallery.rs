//! The worst and the best cases of a run, drawn anew from its features.

use super::view::{CaseView, Pick, Picture};
use crate::evaluate::{CaseScore, Evaluation, Role, cleared};
use crate::{Error, Result};
use candle_core::Device;
use desam::render::{Tile, small_png};
use desam_core::text::DisplayPath as _;
use desam_core::{BinaryMask, ImageFeatures, Progress};
use desam_data::cache::{FeatureCache, SliceRef};
use desam_metrics::metric::{BothEmpty, Confusion, Overlap};

/// How much is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GalleryConfig {
    /// Worst cases, and as many best ones.
    pub cases_each: usize,
    /// Most slices of a case; of more, evenly spread ones.
    pub slices: usize,
    /// Side of a picture, in pixels.
    pub side_px: usize,
    /// Most bytes of all pictures of a page, before they are written as text, which makes a third
    /// more of them. Cases beyond are left out, and named.
    pub most_bytes: usize,
}

impl Default for GalleryConfig {
    /// Three worst and three best cases, 24 slices of 256 pixels each, 24 MiB in all.
    fn default() -> Self {
        Self { cases_each: 3, slices: 24, side_px: 256, most_bytes: 24 << 20 }
    }
}

/// What was drawn of a run.
#[derive(Debug, Default)]
pub(super) struct Gallery {
    /// The worst first, then the best.
    pub(super) views: Vec<CaseView>,
    /// Cases that were left out for size, as `SITE/CASE`.
    pub(super) left_out: Vec<String>,
}

/// From features to a mask.
pub(super) type Draw<'a> = dyn Fn(&ImageFeatures) -> Result<BinaryMask> + 'a;

/// What a run's cases are drawn from.
pub(super) struct Artist<'a> {
    pub(super) cache: &'a FeatureCache,
    pub(super) device: &'a Device,
    pub(super) evaluation: &'a Evaluation,
    pub(super) draw: &'a Draw<'a>,
}

/// The worst and the best cases by Dice, by turns, no case twice; of the target sites where there
/// are any.
fn picks(evaluation: &Evaluation, each: usize) -> Vec<(Pick, &CaseScore)> {
    let any = evaluation.cases.iter().any(|c| c.role == Role::Target);
    let cases = evaluation.cases.iter().filter(|c| !any || c.role == Role::Target);
    let mut rising: Vec<&CaseScore> = cases.collect();
    rising.sort_by(|a, b| a.dice.total_cmp(&b.dice));
    let mut rising = rising.into_iter();
    let mut found = Vec::new();
    // Nobody has more cases than there are.
    for n in 1..=each.min(rising.len()) {
        found.extend(rising.next().map(|case| (Pick::Worst(n), case)));
        found.extend(rising.next_back().map(|case| (Pick::Best(n), case)));
    }
    found
}

/// At most `most` of `slices`, the first and the last among them, evenly spread.
fn spread(slices: &[SliceRef], most: usize) -> Vec<SliceRef> {
    if slices.len() <= most {
        return slices.to_vec();
    }
    let place = |n: usize| n * (slices.len() - 1) / (most.max(2) - 1);
    (0..most).filter_map(|n| slices.get(place(n)).copied()).collect()
}

impl Artist<'_> {
    /// Draws what is chosen, until `bytes` are used up.
    pub(super) fn paint(
        &self,
        config: &GalleryConfig,
        bytes: &mut usize,
        progress: &dyn Progress,
    ) -> Result<Gallery> {
        let mut chosen = Vec::new();
        for (pick, case) in picks(self.evaluation, config.cases_each) {
            chosen.push((pick, case, self.slices(case, config.slices)?));
        }
        let total: usize = chosen.iter().map(|(_, _, slices)| slices.len()).sum();
        progress.begin("drawing", total as u64);
        let mut gallery = Gallery::default();
        for (pick, case, slices) in &chosen {
            let name = format!("{}/{}", case.site, case.case);
            if !gallery.left_out.is_empty() {
                gallery.left_out.push(name);
                continue;
            }
            let view = self.view((*pick, case), (slices, config.side_px), progress)?;
            let size = view.slices.iter().map(|p| p.png.len()).sum();
            match bytes.checked_sub(size) {
                Some(left) => {
                    *bytes = left;
                    gallery.views.push(view);
                }
                None => gallery.left_out.push(name),
            }
        }
        gallery.views.sort_by_key(|v| v.pick);
        progress.finish(&format!("{} cases, slice by slice", gallery.views.len()));
        Ok(gallery)
    }

    /// The slices of a case that are shown: those with ground truth and all between them, as far as
    /// they are stored; all where none has any.
    fn slices(&self, case: &CaseScore, most: usize) -> Result<Vec<SliceRef>> {
        let index =
            self.cache.cases().iter().position(|c| (&c.site, &c.id) == (&case.site, &case.case));
        let stored = index.map_or(&[][..], |i| self.cache.case_slices(i));
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
        Ok(spread(&stored.iter().filter(inside).copied().collect::<Vec<_>>(), most))
    }

    fn view(
        &self,
        (pick, case): (Pick, &CaseScore),
        (slices, side): (&[SliceRef], usize),
        progress: &dyn Progress,
    ) -> Result<CaseView> {
        let mut pictures = Vec::with_capacity(slices.len());
        let (mut start, mut largest) = (0, 0);
        for (n, slice) in slices.iter().enumerate() {
            let features = self.cache.features(slice, self.device)?;
            let border_px = self.evaluation.border_px;
            let prediction = cleared((self.draw)(&features)?, border_px)?;
            let (image, truth) = (self.cache.image(slice)?, self.cache.mask(slice)?);
            if truth.area() > largest {
                (start, largest) = (n, truth.area());
            }
            let counts = Confusion::count(prediction.data(), truth.data())?;
            let (prediction, truth) = (&prediction, Some(&truth));
            let tile = Tile { image: &image, prediction, truth, border_px };
            pictures.push(Picture {
                site: case.site.clone(),
                case: case.case.clone(),
                slice: slice.z,
                dice: Overlap::Dice.of(&counts, BothEmpty::Perfect),
                png: small_png(&tile, side)?,
            });
            progress.advance(1, &format!("{}/{} slice {}", case.site, case.case, slice.z));
        }
        Ok(CaseView {
            site: case.site.clone(),
            case: case.case.clone(),
            pick,
            dice: case.dice,
            slices: pictures,
            start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::evaluation;

    #[test]
    fn the_worst_and_the_best_are_chosen_by_turns() {
        let all = evaluation();
        let names = |each| -> Vec<(Pick, &str, &str)> {
            let picks = picks(&all, each).into_iter();
            picks.map(|(pick, c)| (pick, c.site.as_str(), c.case.as_str())).collect()
        };
        // The target cases are B/Case1 (0), B/Case2 and C/Case1 (0.8 each, in their order).
        let (worst, best) = ((Pick::Worst(1), "B", "Case1"), (Pick::Best(1), "C", "Case1"));
        assert_eq!(names(1), [worst, best]);
        assert_eq!(names(5), [worst, best, (Pick::Worst(2), "B", "Case2")]);
        assert_eq!(names(usize::MAX), names(5));
        assert!(names(0).is_empty());
        let mut own = evaluation();
        own.cases.retain(|c| c.role == Role::SourceValidation);
        assert_eq!(picks(&own, 3).len(), 1);
    }

    #[test]
    fn slices_are_spread_with_both_ends() {
        let slices: Vec<SliceRef> =
            (0..10).map(|z| SliceRef { case: 0, z, labelled: true }).collect();
        let z = |most| spread(&slices, most).iter().map(|s| s.z).collect::<Vec<_>>();
        assert_eq!(z(4), [0, 3, 6, 9]);
        assert_eq!((z(10).len(), z(11).len(), z(1), z(0).len()), (10, 10, vec![0], 0));
    }
}
