//! Tests of tables and files.

use super::{evaluation, evaluation_with_hd95};
use crate::evaluate::{BorderCut, ByMetric, Evaluation, GroundTruthKind, MetricValue};
use desam_core::Precision;
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::BootstrapConfig;

#[test]
fn the_table_is_aligned() {
    // Means by hand: B (0 + 0.8) / 2, sites (0.4 + 0.8) / 2, cases 1.6 / 3.
    let expected = "\
trained on A; grid points mode (9 × 9); paper protocol: labelled slices at 256 × 256 pixels \
against labels in masks by the nearest voxel, border 50 px
site       role             cases  Dice %  median    min  empty
---------------------------------------------------------------
A          validation           1   90.00   90.00  90.00      0
B          target               2   40.00   40.00   0.00      1
C          target               1   80.00   80.00  80.00      0
---------------------------------------------------------------
A to Rest  mean of 2 sites      3   60.00           0.00      1
A to Rest  mean of 3 cases      3   53.33           0.00      1
of 4 cases: 1 missed, 0 invented (each a Dice of 0), 0 with nothing to find and nothing found \
(perfect)
not scored: C/Case9: it has no ground truth
";
    assert_eq!(evaluation().table(), expected);
}

#[test]
fn no_numbers_are_dashes_in_the_table() {
    let mut odd = evaluation();
    odd.sites[1].mean_dice = f64::NAN;
    odd.overall_dice = None;
    let table = odd.table();
    assert!(!table.contains("NaN") && table.contains("–"), "{table}");
}

#[test]
fn json_holds_everything_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scores.json");
    evaluation().write_json(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), evaluation());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["source"], "A");
    assert_eq!(value["protocol"], "paper");
    assert_eq!(value["sites"][0]["role"], "source_validation");
    assert_eq!(value["sites"][1]["empty_predictions"], 1);
    assert_eq!(value["cases"][1]["dice"], 0.8);
    assert!(evaluation().write_json(&dir.path().join("none").join("x.json")).is_err());
}

#[test]
fn csv_has_a_row_a_case_and_units_in_its_header() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scores.csv");
    let mut scores = evaluation();
    scores.cases[1].truth_ml = Some(1.5);
    scores.cases[1].predicted_ml = Some(1.25);
    scores.cases[1].confidence = Some(0.75);
    scores.write_csv(&path).unwrap();
    let expected = "\
site,case,role,dice_0_to_1,slices,truth_voxels,predicted_voxels,truth_ml,predicted_ml,not_scored_because,confidence_0_to_1
B,Case1,target,0.0,10,1000,0,,,,
B,Case2,target,0.8,10,1000,900,1.5,1.25,,0.75
A,Case5,validation,0.9,10,1000,900,,,,
C,Case1,target,0.8,10,1000,900,,,,
C,Case9,target,,,,,,,it has no ground truth,
";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn other_metrics_have_tables_of_their_own() {
    // Means by hand: B (90 + 4) / 2, sites (47 + 3) / 2, cases 97 / 3, of which 4 is the median.
    let expected = "
HD95 mm (lower is better)
site       role             cases   mean  median  worst  missed
---------------------------------------------------------------
A          validation           1   2.00    2.00   2.00       0
B          target               2  47.00   47.00  90.00       1
C          target               1   3.00    3.00   3.00       0
---------------------------------------------------------------
A to Rest  mean of 2 sites      3  25.00    4.00  90.00       1
A to Rest  mean of 3 cases      3  32.33    4.00  90.00       1
of 4 cases: 1 missed, 0 invented (each 0 in overlap and surface Dice, the volume's diagonal in \
distances), 0 with nothing to find and nothing found (perfect)
not scored: C/Case9: it has no ground truth
";
    let table = evaluation_with_hd95().table();
    assert!(table.ends_with(expected), "{table}");
    // Dice has its table as before.
    let dice = evaluation().table();
    assert!(table.starts_with(dice.split("of 4 cases").next().unwrap()), "{table}");
}

#[test]
fn a_case_without_a_value_is_counted_where_it_is_missing() {
    let hd95: CaseMetric = "hd95_mm".parse().unwrap();
    let mut left_out = evaluation_with_hd95();
    let missed = [(CaseMetric::DICE, Some(0.0)), (hd95, None)];
    left_out.cases[0].metrics = missed.map(|(m, v)| (m, MetricValue(v))).into_iter().collect();
    let found = left_out.summarised();
    let b = found.sites[1].metrics.get(hd95).unwrap();
    assert_eq!((b.mean, b.cases, b.left_out, b.missed), (Some(4.0), 1, 1, 1));
    assert!(found.table().contains("1, 1 left out"), "{}", found.table());
    // A site whose cases are all left out has no mean, and neither has the mean over sites.
    let mut none = found;
    none.cases.remove(1);
    let none = none.summarised();
    assert_eq!(none.sites[1].metrics.get(hd95).unwrap().mean, None);
    assert_eq!(none.overall.get(hd95).unwrap().mean_of_sites, None);
    assert_eq!(none.overall.get(hd95).unwrap().cases.mean, Some(3.0));
}

#[test]
fn intervals_stand_beside_the_means() {
    let config = BootstrapConfig { resamples: 1000, seed: 4, ..BootstrapConfig::default() };
    let found = evaluation_with_hd95().with_intervals(&config).unwrap();
    let table = found.table();
    for words in [
        "95 % interval",
        "bootstrap over cases within their site, 1000 draws, seed 4",
        "0.00 to 80.00 (n = 2)",
        "n: of fewer than 5 cases, an interval is too narrow",
    ] {
        assert!(table.contains(words), "{table}");
    }
    // Two cases of 0 and 0.8 are drawn twice the same in half of all draws; of one case nothing
    // is known, nor of a mean that such a site is in.
    let dice = found.sites[1].metrics.get(CaseMetric::DICE).unwrap().interval.unwrap();
    assert_eq!((dice.low, dice.high, dice.few_cases), (0.0, 0.8, Some(2)));
    assert_eq!(found.sites[2].metrics.get(CaseMetric::DICE).unwrap().interval, None);
    let overall = found.overall.get(CaseMetric::DICE).unwrap();
    assert_eq!((overall.sites_interval, overall.cases.interval), (None, None));
    // Nothing but intervals has changed, and they are written.
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), found);
    assert_eq!(found.summarised().overall_dice, evaluation().overall_dice);
    let none = BootstrapConfig { resamples: 1, ..config };
    assert!(evaluation().with_intervals(&none).is_err());
}

#[test]
fn files_from_before_there_were_metrics_are_read() {
    // What the version before wrote: no metrics, no policy, no grids, no cache, no truth.
    let mut value = serde_json::to_value(evaluation()).unwrap();
    for key in ["metrics", "empty_policy", "overall", "bootstrap", "cache", "truth"] {
        value.as_object_mut().unwrap().remove(key).unwrap();
    }
    for (list, keys) in [("cases", &["metrics", "grid"][..]), ("sites", &["metrics"])] {
        for entry in value[list].as_array_mut().unwrap() {
            for key in keys {
                entry.as_object_mut().unwrap().remove(*key).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.json");
    std::fs::write(&path, value.to_string()).unwrap();
    let read = Evaluation::read_json(&path).unwrap();
    assert_eq!(read, Evaluation { truth: None, ..evaluation() });
    assert!(!read.setting().contains("against") && !read.table().contains("of the truth"));
    std::fs::write(&path, "{}").unwrap();
    assert!(Evaluation::read_json(&path).unwrap_err().to_string().contains("old.json"));
}

#[test]
fn csv_has_a_column_a_metric() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scores.csv");
    let [hd95, volume] = ["hd95_mm", "relative_volume_error"].map(|n| n.parse().unwrap());
    let mut scores = evaluation();
    scores.metrics.extend([hd95, volume]);
    for case in &mut scores.cases {
        let values = [(hd95, Some(f64::INFINITY)), (volume, Some(-0.25))];
        case.metrics = values.map(|(m, v)| (m, MetricValue(v))).into_iter().collect();
    }
    scores.cases[1].metrics = ByMetric::from_iter([(hd95, MetricValue(None))]);
    scores.write_csv(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = "predicted_ml,hd95_mm,volume_error_percent,not_scored_because,confidence_0_to_1";
    assert!(lines[0].ends_with(last), "{}", lines[0]);
    assert_eq!(lines[1], "B,Case1,target,0.0,10,1000,0,,,inf,-25.0,,");
    assert_eq!(lines[2], "B,Case2,target,0.8,10,1000,900,,,,,,");
    assert_eq!(lines[5], "C,Case9,target,,,,,,,,,it has no ground truth,");
}

#[test]
fn a_setting_names_a_precision_that_is_not_f32() {
    let bf16 = Evaluation { precision: Precision::Bf16, ..evaluation() };
    assert_eq!(bf16.setting(), format!("{}; products in bf16", evaluation().setting()));
    assert!(!evaluation().setting().contains("f32"));
}

#[test]
fn scores_say_which_truth_they_are_against_and_what_the_border_cuts() {
    let cut = |site: &str| match site {
        "A" => BorderCut::new(1000, 0),
        "B" => BorderCut::new(1000, 4),
        _ => BorderCut::new(1000, 200),
    };
    let mut scores = Evaluation { truth: Some(GroundTruthKind::ErodedMasks), ..evaluation() };
    scores.cases.iter_mut().for_each(|case| case.border = Some(cut(&case.site)));
    let scores = scores.summarised();
    // By hand: 0 + 4 + 4 + 200 of 4000.
    assert_eq!(scores.border, Some(BorderCut::new(4000, 208)));
    assert_eq!(scores.sites[1].border, Some(BorderCut::new(2000, 8)));
    let table = scores.table();
    assert!(table.contains("against labels in masks, eroded by the official rule"), "{table}");
    let line = "the border of 50 of 256 pixels at each side, where predictions are cleared, holds \
                5.2 % of the truth (A 0.0 %, B 0.4 %, C 20.0 %)";
    assert!(table.contains(line), "{table}");
    assert!(scores.border_warning().unwrap().starts_with(line));
    let value = serde_json::to_value(&scores).unwrap();
    assert_eq!(
        (&value["truth"], &value["border"]["share"]),
        (&"eroded_masks".into(), &0.052.into())
    );
    assert_eq!(value["sites"][2]["border"]["cut_pixels"], 200);
    assert_eq!(serde_json::from_value::<Evaluation>(value).unwrap(), scores);
    // Up to half a per cent, at every site, is said and no warning.
    let mut few = scores;
    few.cases.retain(|case| case.site != "C");
    let few = few.summarised();
    assert!(few.border_line().is_some() && few.border_warning().is_none());
}
