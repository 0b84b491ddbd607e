//! `desam demo` at toy size.

use crate::common::run;

#[test]
fn the_demo_writes_a_page_and_states_that_it_uses_phantoms() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let demo = args![
        "demo",
        "--out",
        out,
        "--cases-per-site",
        "2",
        "--epochs",
        "1",
        "--mode",
        "box",
        "--json",
    ];
    let ended = run(demo.clone()).expect(0);
    let json = ended.json();
    assert_eq!(json["phantom"], true);
    assert_eq!(json["evaluation"]["source"], "A");
    // Site A's held-out case and two at each of the other five sites.
    assert_eq!(json["evaluation"]["cases"].as_array().unwrap().len(), 1 + 5 * 2);
    for name in ["index.html", "slices.png", "new/mask.nii.gz", "evaluation.csv"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("hantom") && page.contains("</html>"));
    run(demo).fails_with(&["already holds a demonstration"]);
    let few = folder.path().join("few");
    run(args!["demo", "--out", few, "--cases-per-site", "1"]).usage_error_with(&["2 to 1000"]);
    assert!(!few.exists(), "found after the work");
}
