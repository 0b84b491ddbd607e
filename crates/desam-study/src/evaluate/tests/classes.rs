//! Tables and files of a model of several classes.

use super::evaluation;
use crate::evaluate::{ByMetric, ClassScore, Evaluation, MetricValue};
use desam_metrics::metric::CaseMetric;

/// Two zones, with HD95 and the relative volume error. Case 1 of B misses both; case 2 of B invents the transition
/// zone, whose relative error is then undefined; the others are alike.
fn zones() -> Evaluation {
    let [hd95, relative] = ["hd95_mm", "relative_volume_error"].map(|n| n.parse().unwrap());
    let class = |class: &str, voxels: [u64; 2], values: [Option<f64>; 3]| ClassScore {
        class: class.into(),
        dice: values[0].unwrap(),
        truth_voxels: voxels[0],
        predicted_voxels: voxels[1],
        truth_ml: Some(voxels[0] as f64 / 1000.0),
        predicted_ml: Some(voxels[1] as f64 / 1000.0),
        metrics: ByMetric::from_iter(
            [CaseMetric::DICE, hd95, relative].into_iter().zip(values.map(MetricValue)),
        ),
    };
    let mut scores = evaluation();
    scores.classes = "pz=1,tz=2".parse().unwrap();
    scores.metrics = vec![CaseMetric::DICE, hd95, relative];
    for (n, case) in scores.cases.iter_mut().enumerate() {
        case.classes = match n {
            0 => {
                let missed = [Some(0.0), Some(90.0), Some(-1.0)];
                vec![class("pz", [600, 0], missed), class("tz", [400, 0], missed)]
            }
            1 => vec![
                class("pz", [1000, 800], [Some(0.8), Some(4.0), Some(-0.2)]),
                class("tz", [0, 100], [Some(0.0), Some(90.0), None]),
            ],
            _ => vec![
                class("pz", [600, 600], [Some(0.8), Some(2.0), Some(0.0)]),
                class("tz", [400, 300], [Some(0.8), Some(2.0), Some(-0.25)]),
            ],
        };
    }
    scores.summarised()
}

#[test]
fn the_table_of_classes_has_titles_with_units_and_counts_what_is_undefined() {
    // By hand, of B: Dice of pz (0 + 0.8) / 2, HD95 (90 + 4) / 2, volume error (−1 − 0.2) / 2; of tz 0, 90 and
    // −1, from the case that has one.
    let expected = "\
by class
site       class  Dice %  missed  invented  HD95 mm       volume error %
------------------------------------------------------------------------
A          pz      80.00       0         0     2.00                 0.00
A          tz      80.00       0         0     2.00               -25.00
B          pz      40.00       1         0    47.00               -60.00
B          tz       0.00       1         1    90.00  -100.00, 1 left out
";
    let table = zones().table();
    assert!(table.contains(expected), "{table}");
    let undefined = "undefined, and left out of all means: volume error % in 1 case of tz\n";
    assert!(table.contains(undefined), "{table}");
}

#[test]
fn missed_and_invented_are_counted_by_class() {
    let line = "of 4 cases, by class: pz 1 missed, 0 invented, 0 with nothing to find and nothing found; \
                tz 1 missed, 1 invented, 0 with nothing to find and nothing found (a missed or invented class \
                counts as 0 in overlap and surface Dice, the volume's diagonal in distances, one with nothing \
                to find and nothing found as perfect)";
    let table = zones().table();
    assert!(table.contains(line), "{table}");
}

#[test]
fn csv_has_the_volumes_of_each_class_beside_its_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scores.csv");
    zones().write_csv(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = rows.next().unwrap();
    let row: Vec<&str> = rows.nth(1).unwrap();
    let cell = |name: &str| row[head.iter().position(|column| *column == name).unwrap()];
    assert_eq!((cell("case"), cell("truth_voxels")), ("Case2", "1000"));
    assert_eq!((cell("truth_ml_pz"), cell("predicted_ml_pz")), ("1.0", "0.8"));
    assert_eq!((cell("truth_ml_tz"), cell("predicted_ml_tz")), ("0.0", "0.1"));
    assert_eq!((cell("hd95_mm_tz"), cell("volume_error_percent_tz")), ("90.0", ""));
    assert_eq!(head.last(), Some(&"confidence_0_to_1"));
    assert!(text.lines().all(|line| line.split(',').count() == head.len()), "{text}");
}
