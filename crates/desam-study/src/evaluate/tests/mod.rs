//! Tests of scoring and output, and a made-up evaluation for them and for the report.

mod classes;
mod comparing;
mod native;
mod output;
mod scoring;

use super::{
    ByMetric, CaseScore, Evaluation, GroundTruthKind, MetricValue, Protocol, Role, UnscoredCase,
};
use desam::select::SelectionConfig;
use desam::{Mode, PresenceRule};
use desam_core::ClassTable;
use desam_metrics::metric::{CaseMetric, EmptyPolicy};

/// A made-up evaluation: B has Dice 0 (an empty prediction) and 0.8, C has 0.8.
pub(crate) fn evaluation() -> Evaluation {
    let case = |site: &str, case: &str, role, dice: f64| CaseScore {
        site: site.into(),
        case: case.into(),
        role,
        dice,
        slices: 10,
        truth_voxels: 1000,
        predicted_voxels: if dice == 0.0 { 0 } else { 900 },
        truth_ml: None,
        predicted_ml: None,
        empty_slices: None,
        border: None,
        metrics: ByMetric::default(),
        grid: None,
        confidence: None,
        classes: Vec::new(),
        warnings: Vec::new(),
    };
    Evaluation {
        source: "A".into(),
        mode: Mode::Points,
        grid: Some(9),
        selection: SelectionConfig::official(),
        protocol: Protocol::Paper,
        truth: Some(GroundTruthKind::NearestMasks),
        border_px: 50,
        border: None,
        mask_side: 256,
        cases: vec![
            case("B", "Case1", Role::Target, 0.0),
            case("B", "Case2", Role::Target, 0.8),
            case("A", "Case5", Role::SourceValidation, 0.9),
            case("C", "Case1", Role::Target, 0.8),
        ],
        unscored: vec![UnscoredCase {
            site: "C".into(),
            case: "Case9".into(),
            role: Role::Target,
            reason: "it has no ground truth".into(),
        }],
        sites: Vec::new(),
        overall_dice: None,
        overall_cases_dice: None,
        metrics: vec![CaseMetric::DICE],
        empty_policy: EmptyPolicy::default(),
        overall: ByMetric::default(),
        overall_classes: Vec::new(),
        classes: ClassTable::default(),
        bootstrap: None,
        presence_threshold: None,
        presence_rule: PresenceRule::Slice,
        mask_interpolation: None,
        match_source: false,
        cache: None,
        precision: Default::default(),
    }
    .summarised()
}

/// The same with HD95 in mm: B's missed case counts as 90, the others have 4, 2 and 3.
pub(crate) fn evaluation_with_hd95() -> Evaluation {
    let hd95: CaseMetric = "hd95_mm".parse().unwrap();
    let mut evaluation = evaluation();
    evaluation.metrics.push(hd95);
    for (case, mm) in evaluation.cases.iter_mut().zip([90.0, 4.0, 2.0, 3.0]) {
        let values = [(CaseMetric::DICE, case.dice), (hd95, mm)];
        case.metrics = values.map(|(m, v)| (m, MetricValue(Some(v)))).into_iter().collect();
    }
    evaluation.summarised()
}
