//! `desam sweep` at toy size: plan, run, interrupt, collect.

use crate::common::{Ended, fixture, program, run};
use crate::killed::files;
use serde_json::Value;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::{Child, Command, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

/// Plans DeSAM's rows of Tables 1 and 3 for site A: two trainings, and a second grid for one of them.
fn plan(out: &Path, more: &[&str]) -> Value {
    let base = args![
        "sweep",
        "plan",
        "--table",
        "1,3",
        "--cache",
        fixture().cache,
        "--out",
        out,
        "--json",
        "--variants",
        "desam",
        "--grids",
        "1,9",
        "--lr",
        "1e-3",
        "--sources",
        "A",
        "--paper-sites",
    ];
    run(base.into_iter().chain(more.iter().map(Into::into))).expect(0).json()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("plan");
    (folder, out)
}

fn states(out: &Path) -> Vec<String> {
    let json = run(args!["sweep", "status", out, "--json"]).expect(0).json();
    let lines = json["lines"].as_array().unwrap();
    lines.iter().map(|l| l["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tables_are_planned_run_and_collected() {
    let (_folder, out) = folder();
    let planned = plan(&out, &["--epochs", "1"]);
    let lines = planned["lines"].as_array().unwrap();
    let ids: Vec<&str> = lines.iter().map(|l| l["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["A-box-desam-s0", "A-points-desam-s0", "A-points-desam-s0-grid1"]);
    assert_eq!(planned["training_lines"], 2);
    assert_eq!(plan(&out, &["--epochs", "1"]), planned);
    run(args!["sweep", "plan", "--table", "1", "--cache", fixture().cache, "--out", out,])
        .fails_with(&["plan.jsonl", "another plan"]);

    assert_eq!(states(&out), ["waiting"; 3]);
    let early = run(args!["sweep", "collect", out]);
    let early = early.fails_with(&["missing: A to Rest", "A-box-desam-s0", "waiting"]);
    assert_eq!(early.stderr.lines().count(), 3, "{early:#?}");
    run(args!["sweep", "collect", out, "--partial"]).expect(0);

    run(args!["sweep", "run", out]).usage_error_with(&["--index or --all"]);
    run(args!["sweep", "run", out, "--index", "3"]).fails_with(&["lines 0 to 2"]);
    // As a task of an array job.
    let mut task = program();
    task.args(args!["sweep", "run", "-q", out, "--json"]).env("JOB_COMPLETION_INDEX", "0");
    let done = Ended::from(task.output().unwrap()).expect(0).json();
    assert_eq!((&done["id"], &done["outcome"]), (&"A-box-desam-s0".into(), &"done".into()));
    let before = files(&out);
    let again = run(args!["sweep", "run", "-q", out, "--index", "0", "--json"]).expect(0).json();
    assert_eq!(again["outcome"], "was_done");
    assert_eq!(files(&out), before);

    let page = out.join("page.html");
    let report = || run(args!["report", out, "--out", page, "--cases", "0", "--json"]).expect(0);
    let half = report();
    assert_eq!(half.json()["runs"], 1);
    assert!(half.stderr.contains("not evaluated yet: A-points-desam-s0,"), "{half:#?}");

    let rest = run(args!["sweep", "run", "-q", out, "--all", "--json"]).expect(0).json();
    assert_eq!(rest["done"].as_array().unwrap().len(), 2);
    assert_eq!(rest["was_done"].as_array().unwrap().len(), 1);
    assert_eq!(states(&out), ["done"; 3]);
    // The grid of one point was evaluated with the model of the grid of nine.
    let one = out.join("runs/A-points-desam-s0-grid1");
    assert!(one.join("evaluation_paper.json").is_file() && !one.join("model.safetensors").exists());

    assert_eq!(report().json()["runs"], 3);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(lines.iter().all(|line| text.contains(line["id"].as_str().unwrap())));
    std::fs::remove_file(&page).unwrap();

    let all = run(args!["sweep", "collect", out]).expect(0).stdout;
    let said = std::fs::read_to_string(out.join("runs/A-box-desam-s0/evaluation_paper.json"));
    let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
    let dice = format!("{:.2}", 100.0 * said["overall_cases_dice"].as_f64().unwrap());
    let row = all.lines().skip_while(|l| !l.starts_with("DeSAM (whole box)")).nth(1).unwrap();
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(row, ["ours", &dice, "·", "·", "·", "·", "·", "·"], "{all}");
    // Scores in Table 1 for A to Rest and Overall.
    assert!(all.contains("82.30") && all.contains("77.75") && all.contains("85.38"), "{all}");
    assert!(all.contains("not planned: Table 3, 9: B, C, D, E, F"), "{all}");
    let csv = run(args!["sweep", "collect", out, "--csv"]).expect(0).stdout;
    assert!(csv.lines().any(|l| l.starts_with("3,1,ours,")), "{csv}");
    let markdown = run(args!["sweep", "collect", out, "--markdown"]).expect(0).stdout;
    assert!(markdown.contains("| DeSAM (whole box) | paper | 82.30 |"), "{markdown}");
    let json = run(args!["sweep", "collect", out, "--json", "--mean", "sites"]).expect(0).json();
    assert_eq!(json["tables"][0]["table"], 1);
    assert_eq!(json["mean_over"], "sites");
}

/// Starts line `index` and returns once its training has started.
#[cfg(unix)]
fn start(out: &Path, index: &str) -> Child {
    let mut command = program();
    command.args(args!["sweep", "run", "-q", out, "--index", index, "--threads", "1"]);
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    let manifest = out.join("runs/A-points-desam-s0/manifest.json");
    let started = Instant::now();
    while !manifest.is_file() {
        assert!(started.elapsed() < Duration::from_secs(60), "no training began");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    assert!(kill.args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
#[cfg(unix)]
fn a_killed_line_is_reported_as_interrupted_and_continued() {
    let (_folder, out) = folder();
    let more = ["--epochs", "6", "--modes", "points"];
    plan(&out, &more);
    let mut child = start(&out, "0");
    // Suspended, it keeps holding its line during the rest of the test.
    signal(&child, "STOP");
    assert_eq!(states(&out)[0], "running");
    let status = run(args!["sweep", "status", out]).expect(0).stdout;
    assert!(status.contains("epoch") && status.contains("/6 on "), "{status}");
    // No other worker runs the same line; a line that needs its model waits.
    run(args!["sweep", "run", "-q", out, "--index", "0"]).fails_with(&["held by", "--force"]);
    let rest = run(args!["sweep", "run", "-q", out, "--all", "--json"]).expect(0).json();
    assert_eq!(rest["left_to_others"].as_array().unwrap().len(), 2, "{rest}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(states(&out), ["interrupted", "waiting"]);
    run(args!["sweep", "collect", out]).fails_with(&["interrupted", "is gone"]);
    run(args!["sweep", "run", "-q", out, "--all"]).expect(0);
    assert_eq!(states(&out), ["done"; 2]);

    let (_other, unbroken) = folder();
    plan(&unbroken, &more);
    // A line that runs before the line that should train its model trains it itself.
    run(args!["sweep", "run", "-q", unbroken, "--index", "1"]).expect(0);
    run(args!["sweep", "run", "-q", unbroken, "--index", "0"]).expect(0);
    for name in ["evaluation_paper.json", "evaluation_paper.csv", "model.safetensors"] {
        for id in ["A-points-desam-s0", "A-points-desam-s0-grid1"] {
            let read = |plan: &Path| std::fs::read(plan.join("runs").join(id).join(name)).ok();
            assert!(read(&out) == read(&unbroken), "{id}/{name} differs from an unbroken run's");
        }
    }
}

#[test]
fn every_implemented_row_can_be_run() {
    let (_folder, out) = folder();
    let base = args!["sweep", "plan", "--table", "1,2", "--cache", fixture().cache, "--out", out];
    let more = args!["--sources", "B", "--epochs", "1", "--sites", "A,B", "--seeds", "3"];
    run(base.into_iter().chain(more)).expect(0);
    run(args!["sweep", "run", "-q", out, "--all"]).expect(0);
    let all = run(args!["sweep", "collect", out, "--json"]).expect(0).json();
    let rows = |table: usize| all["tables"][table]["rows"].as_array().unwrap();
    let made = rows(0).iter().chain(rows(1)).filter(|r| !r["ours"].is_null());
    let made: Vec<&str> = made.map(|r| r["method"].as_str().unwrap()).collect();
    // Tables 1 and 2.
    assert_eq!(
        made,
        [
            "MedSAM",
            "DeSAM (whole box)",
            "DeSAM (grid points)",
            "PIMM only",
            "PIMM + PRIM w/o IoU prediction head",
            "PIMM + PRIM w/o mask embedding fusion",
            "DeSAM",
        ]
    );
    // A and B were not declared to be the paper's sites: its scores and other methods are left out.
    assert!(rows(0).iter().all(|r| r["paper"].is_null()));
    let text = run(args!["sweep", "collect", out]).expect(0).stdout;
    assert!(text.contains("A to Rest") && !text.contains("Upper bound"), "{text}");
    let said = run(args!["sweep", "collect", out, "--paper-sites", "A=C,B=D"]).expect(0).stdout;
    // Table 1, DeSAM (whole box), C to Rest and D to Rest.
    assert!(said.contains("66.65") && said.contains("82.87") && said.contains("C = A"), "{said}");
    // Only the site of letter A was evaluated in addition to B.
    let scores =
        std::fs::read_to_string(out.join("runs/B-box-sam-decoder-s3/evaluation_paper.json"));
    let scores: Value = serde_json::from_str(&scores.unwrap()).unwrap();
    let sites = scores["sites"].as_array().unwrap();
    assert_eq!(sites.len(), 2, "{scores}");
    let config = std::fs::read_to_string(out.join("runs/B-points-pimm-only-s3/config.json"));
    assert!(config.unwrap().contains("\"variant\": \"pimm-only\""));
}

#[test]
fn two_workers_share_a_plan() {
    let (_folder, out) = folder();
    plan(&out, &["--epochs", "2"]);
    let worker = || run(args!["sweep", "run", "-q", out, "--all", "--json"]).expect(0).json();
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(worker);
        let two = worker();
        (one.join().unwrap(), two)
    });
    let done = |worker: &Value| worker["done"].as_array().unwrap().len();
    assert_eq!(done(&one) + done(&two), 3, "each line is done once: {one} {two}");
    assert_eq!(states(&out), ["done"; 3]);
}

#[test]
fn impossible_plans_are_rejected_with_the_reason() {
    let (_folder, out) = folder();
    let plan = |more: &[&str]| {
        let base = args!["sweep", "plan", "--cache", fixture().cache, "--out", out];
        run(base.into_iter().chain(more.iter().map(Into::into)))
    };
    plan(&["--table", "4"]).expect(2);
    plan(&["--table", "1", "--paper-sites", "A"]).expect(2);
    plan(&["--table", "1", "--sites", "A"]).fails_with(&["two sites are needed"]);
    plan(&["--table", "1", "--sources", "F"]).fails_with(&["no site F", "A, B, C"]);
    plan(&["--table", "1", "--sites", "nowhere"]).fails_with(&["nowhere", "A, B, C"]);
    plan(&["--table", "1", "--paper-sites", "nowhere=A"]).fails_with(&["nowhere", "A, B, C"]);
    plan(&["--table", "1", "--grids", "4", "--modes", "points"]).fails_with(&["no cell"]);
    run(args!["sweep", "status", out]).fails_with(&["no plan"]);
    assert!(!out.exists());

    // A failure is recorded, shown by status and collect, and cleared when the run succeeds.
    plan(&[
        "--table",
        "1",
        "--sources",
        "A",
        "--modes",
        "box",
        "--variants",
        "desam",
        "--epochs",
        "1",
    ])
    .expect(0);
    let gone = out.join("gone");
    run(args!["sweep", "run", "-q", out, "--index", "0", "--cache", gone])
        .fails_with(&["no feature cache"]);
    assert_eq!(states(&out), ["failed"]);
    run(args!["sweep", "collect", out]).fails_with(&["failed", "no feature cache"]);
    let all = run(args!["sweep", "run", "-q", out, "--all", "--cache", gone]).expect(1);
    assert!(all.stderr.contains("line 0 (A-box-desam-s0)"), "{all:#?}");
    run(args!["sweep", "run", "-q", out, "--index", "0"]).expect(0);
    assert_eq!(states(&out), ["done"]);
    assert!(!out.join("runs/A-box-desam-s0/failed.json").exists());
}
