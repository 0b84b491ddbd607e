//! Tests of paired comparison.

use super::{evaluation, evaluation_with_hd95};
use crate::Error;
use crate::evaluate::{CompareConfig, Comparison, Evaluation, Role, compare};
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::BootstrapConfig;

fn config(metric: &str) -> CompareConfig {
    CompareConfig {
        metric: metric.parse().unwrap(),
        bootstrap: BootstrapConfig { resamples: 1000, ..BootstrapConfig::default() },
    }
}

/// [`evaluation`] with another Dice in each case: B 0.5 and 0.6, A 0.7, C 0.9.
fn other() -> Evaluation {
    let mut other = evaluation();
    for (case, dice) in other.cases.iter_mut().zip([0.5, 0.6, 0.7, 0.9]) {
        case.dice = dice;
    }
    other.cases[0].predicted_voxels = 700;
    other.summarised()
}

fn refused(a: &Evaluation, b: &Evaluation, words: &[&str]) {
    let message = compare(a, b, &config("dice")).unwrap_err().to_string();
    assert!(words.iter().all(|w| message.contains(w)), "{words:?}: {message}");
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
}

#[test]
fn differences_are_the_second_less_the_first() {
    let found = compare(&evaluation(), &other(), &config("dice")).unwrap();
    // By hand: A 0.7 − 0.9; B (0.5 − 0.2) / 2; C 0.1; the target sites (0.15 + 0.1) / 2, their
    // cases (0.5 − 0.2 + 0.1) / 3.
    let means: Vec<f64> = found.sites.iter().map(|s| s.difference.mean_difference).collect();
    for (found, expected) in means.iter().zip([-0.2, 0.15, 0.1]) {
        close(*found, expected);
    }
    let (sites, cases) =
        (found.mean_of_sites.clone().unwrap(), found.mean_of_cases.clone().unwrap());
    close(sites.mean_difference, 0.125);
    close(cases.mean_difference, 0.4 / 3.0);
    close(sites.mean_b - sites.mean_a, 0.125);
    assert_eq!((cases.cases, cases.better, cases.worse), (3, 2, 1));
    // Of B's two differences all four signs: two are as far off as 0.15 or further (±0.15, ±0.35
    // are four), so p is 1; C's one difference says nothing, and neither do both corrected.
    assert_eq!(found.sites[1].difference.sign_flip.p_value, 1.0);
    assert_eq!(found.sites[1].holm_p_value, Some(1.0));
    assert_eq!(found.sites[0].holm_p_value, None);
    assert_eq!(found.sites[0].role, Role::SourceValidation);
    // B − A of three cases has ranks 3, −2 and 1: sums 4 and 2, of 8 signs 3 give at most 2, twice.
    assert_eq!(cases.wilcoxon.p_value, 0.75);
    assert!(found.notes.is_empty());
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap().table(), found.table());
}

#[test]
fn the_table_says_what_was_done() {
    let table = compare(&evaluation(), &other(), &config("dice")).unwrap().table();
    for words in [
        "Dice %\nboth against labels in masks by the nearest voxel\n",
        "B - A",
        "95 % interval",
        "-20.00 to 50.00",
        "mean of 2 sites",
        "mean of 3 cases",
        "1000 draws, seed 0",
        "Holm over 2 target sites",
        "-20.00 to 50.00 (n = 2)",
        "n: of fewer than 5 cases",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(table.lines().all(|l| l == l.trim_end()), "{table}");
}

#[test]
fn lower_distances_are_better() {
    let (a, mut b) = (evaluation_with_hd95(), evaluation_with_hd95());
    let metrics = &a.cases[1].metrics;
    b.cases[0].metrics = metrics.clone();
    b.cases[0].predicted_voxels = 5;
    let found = compare(&a, &b.summarised(), &config("hd95_mm")).unwrap();
    let site = &found.sites[1].difference;
    assert_eq!((site.mean_difference, site.better, site.worse), (-43.0, 1, 0));
    assert!(found.table().contains("HD95 mm\n"));
}

#[test]
fn runs_that_were_scored_differently_are_refused_with_the_difference() {
    let (a, mut b) = (evaluation(), other());
    b.border_px = 0;
    refused(&a, &b, &["border", "50 and 0"]);
    let mut b = other();
    b.protocol = crate::evaluate::Protocol::Full;
    refused(&a, &b, &["protocol: paper and full"]);
    let mut b = other();
    b.truth = Some(crate::evaluate::GroundTruthKind::ErodedMasks);
    refused(&a, &b, &["truth: labels in masks by the nearest voxel and labels in masks, eroded"]);
    // An unrecorded value may be the same.
    b.truth = None;
    compare(&a, &b, &config("dice")).unwrap();
    let mut b = other();
    b.cases[1].truth_voxels = 999;
    refused(&a, &b, &["B/Case2", "1000 true voxels", "999"]);
    let mut b = other();
    b.cases.remove(3);
    b.cases[0].case = "Case7".into();
    refused(&a, &b, &["C/Case1 is in the first run alone", "B/Case7 is in the second run alone"]);
    let mut b = other();
    b.cases.extend((0..9).map(|n| {
        let mut case = a.cases[0].clone();
        case.case = format!("New{n}");
        case
    }));
    refused(&a, &b, &["B/New0", "B/New4", "and 4 more"]);
}

#[test]
fn a_metric_without_a_value_is_refused() {
    let (a, b) = (evaluation_with_hd95(), other());
    let error = compare(&a, &b, &config("hd95_mm")).unwrap_err();
    let hd95: CaseMetric = "hd95_mm".parse().unwrap();
    let Error::MetricMissing { which, metric } = &error else { panic!("{error}") };
    assert_eq!((*which, *metric), ("second", hd95));
    assert!(error.to_string().contains("second run"), "{error}");
    let mut b = evaluation_with_hd95();
    let lost = [(hd95, crate::evaluate::MetricValue(None))];
    b.cases[0].metrics = lost.into_iter().collect();
    let error = compare(&a, &b, &config("hd95_mm")).unwrap_err();
    assert!(matches!(&error, Error::NoFiniteValue { metric, .. } if *metric == hd95), "{error}");
    assert!(error.to_string().contains("B/Case1"), "{error}");
}

#[test]
fn other_held_out_cases_and_prompts_are_noted() {
    let (a, mut b) = (evaluation(), other());
    b.cases[2].case = "Case6".into();
    b.grid = Some(5);
    let found = compare(&a, &b, &config("dice")).unwrap();
    assert_eq!(found.sites.len(), 2);
    assert!(found.notes.iter().any(|n| n.contains("held-out cases of A differ")));
    assert!(found.notes.iter().any(|n| n.contains("9 × 9") && n.contains("5 × 5")));
}

#[test]
fn other_classes_are_refused_even_where_they_cover_the_same_voxels() {
    let (a, b) = (evaluation(), other());
    let zones = Evaluation { classes: "pz=1,tz=2".parse().unwrap(), ..b };
    let refused = compare(&a, &zones, &config("dice")).unwrap_err().to_string();
    assert!(refused.contains("classes: foreground and pz=1,tz=2"), "{refused}");
}

#[test]
fn another_precision_is_noted() {
    let (a, b) = (evaluation(), other());
    let b = Evaluation { precision: desam_core::Precision::Bf16, ..b };
    let found = compare(&a, &b, &config("dice")).unwrap();
    assert!(found.notes.iter().any(|n| n.ends_with("products in bf16")), "{:?}", found.notes);
}
