//! Pictures of the demonstration: one typical slice of every site.

use crate::evaluate::{CaseScore, Evaluation, zero_border};
use crate::report::Picture;
use crate::{Error, Result};
use desam::render::{Tile, montage_png, tile_png};
use desam::{Model, PromptingConfig};
use desam_core::{BinaryMask, LabelMask};
use desam_data::cache::{FeatureCache, SliceRef};
use desam_data::preprocess::SliceImage;
use desam_metrics::metric::{BothEmpty, Confusion, Overlap};

/// Side of a tile in the montage, in pixels.
const TILE_PX: usize = 320;

/// The pictures.
pub(super) struct DemoPictures {
    /// One per site, for the page.
    pub(super) pictures: Vec<Picture>,
    /// A montage of all as one PNG.
    pub(super) montage: Vec<u8>,
}

struct DemoSlice {
    image: SliceImage,
    prediction: LabelMask,
    truth: LabelMask,
}

impl DemoSlice {
    fn tile(&self, border_px: usize) -> Tile<'_> {
        let (prediction, truth) = (&self.prediction, Some(&self.truth));
        Tile { image: &self.image, prediction, truth, border_px }
    }
}

impl DemoPictures {
    /// Renders for every site the case with the median Dice, and in it the slice with the largest ground
    /// truth.
    pub(super) fn render(
        cache: &FeatureCache,
        model: &Model,
        automatic: &PromptingConfig,
        evaluation: &Evaluation,
    ) -> Result<Self> {
        let (mut slices, mut pictures) = (Vec::new(), Vec::new());
        let border_px = evaluation.border_px;
        for site in &evaluation.sites {
            let Some(case) = median_case(evaluation, &site.site) else {
                continue;
            };
            let at = largest_slice(cache, case)?;
            let features = cache.features(&at, model.device())?;
            let prediction = model.predictor().predict(&features, automatic)?.mask;
            let prediction = zero_border(prediction, border_px)?;
            let truth = cache.mask(&at)?;
            let dice = dice(&prediction, &truth)?;
            let slice = DemoSlice {
                image: cache.image(&at)?,
                prediction: prediction.into(),
                truth: truth.into(),
            };
            let scale = (384 / slice.image.side).max(1);
            pictures.push(Picture {
                site: site.site.clone(),
                case: case.case.clone(),
                slice: at.z,
                dice,
                png: tile_png(&slice.tile(border_px), scale)?,
            });
            slices.push(slice);
        }
        let tiles: Vec<Tile<'_>> = slices.iter().map(|slice| slice.tile(0)).collect();
        Ok(Self { montage: montage_png(&tiles, 3, TILE_PX)?, pictures })
    }
}

fn median_case<'a>(evaluation: &'a Evaluation, site: &str) -> Option<&'a CaseScore> {
    let mut cases: Vec<&CaseScore> = evaluation.cases.iter().filter(|c| c.site == site).collect();
    cases.sort_by(|a, b| a.dice.total_cmp(&b.dice));
    cases.get(cases.len() / 2).copied()
}

fn largest_slice(cache: &FeatureCache, case: &CaseScore) -> Result<SliceRef> {
    let index = cache.cases().iter().position(|c| c.site == case.site && c.id == case.case);
    let mut best: Option<(usize, SliceRef)> = None;
    for slice in index.map_or(&[][..], |i| cache.case_slices(i)) {
        let area = cache.mask(slice)?.area();
        if best.is_none_or(|(most, _)| area > most) {
            best = Some((area, *slice));
        }
    }
    let missing =
        || Error::Invalid(format!("the cache has no slice of {}/{}", case.site, case.case));
    best.map(|(_, slice)| slice).ok_or_else(missing)
}

fn dice(prediction: &BinaryMask, truth: &BinaryMask) -> Result<Option<f64>> {
    let counts = Confusion::count(prediction.data(), truth.data())?;
    Ok(Overlap::Dice.of(&counts, BothEmpty::Perfect))
}
