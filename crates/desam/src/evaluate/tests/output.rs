//! Tables and files.

use super::evaluation;
use crate::evaluate::Evaluation;

#[test]
fn the_table_is_aligned() {
    // Means by hand: B (0 + 0.8) / 2, sites (0.4 + 0.8) / 2, cases 1.6 / 3.
    let expected = "\
trained on A; grid points mode (9 × 9); paper protocol: labelled slices at 256 × 256 pixels, border 50 px
site       role             cases  Dice %  median    min  empty
---------------------------------------------------------------
A          validation           1   90.00   90.00  90.00      0
B          target               2   40.00   40.00   0.00      1
C          target               1   80.00   80.00  80.00      0
---------------------------------------------------------------
A to Rest  mean of 2 sites      3   60.00           0.00      1
A to Rest  mean of 3 cases      3   53.33           0.00      1
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
    scores.write_csv(&path).unwrap();
    let expected = "\
site,case,role,dice_0_to_1,slices,truth_voxels,predicted_voxels,truth_ml,predicted_ml,not_scored_because
B,Case1,target,0.0,10,1000,0,,,
B,Case2,target,0.8,10,1000,900,1.5,1.25,
A,Case5,validation,0.9,10,1000,900,,,
C,Case1,target,0.8,10,1000,900,,,
C,Case9,target,,,,,,,it has no ground truth
";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}
