//! Tests of plans, their execution and their tables, with made-up scores.

use super::plan::SweepSite;
use super::plan_dir::LockTarget;
use super::worker_lock::{LockAttempt, Worker};
use super::*;
use crate::evaluate::{Evaluation, Protocol, Role};
use crate::train::{InputFile, Preset, RunManifest};
use desam::Mode;
use desam_core::Precision;
use desam_decoder::Variant;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// The paper's sites by the names of a public release.
const NAMES: [&str; 6] = ["RUNMC", "BMC", "I2CVB", "UCL", "BIDMC", "HK"];

/// The paper's, said to be so.
fn sites() -> Vec<SweepSite> {
    SweepSite::all(&NAMES, &PaperSites::ByName).unwrap()
}

fn over(mean_over: MeanOver) -> CollectConfig {
    CollectConfig { mean_over, paper_sites: None }
}

fn config(tables: &[SweepTable]) -> SweepConfig {
    SweepConfig::new(tables.to_vec(), "/cache")
}

fn lines(config: &SweepConfig) -> Vec<PlanLine> {
    config.lines(&sites(), "key").unwrap()
}

/// As training leaves it.
fn manifest(line: &PlanLine, epochs_done: usize) -> RunManifest {
    RunManifest {
        desam_version: "0".into(),
        cache: line.cache.clone(),
        views: None,
        cache_key: line.cache_key.clone(),
        weights: InputFile { path: "w".into(), blake3: "00".into() },
        init: None,
        initialised_parameters: 0,
        trainable_numbers: 1,
        train_cases: vec!["Case1".into()],
        validation_cases: vec!["Case5".into()],
        train_slices: 1,
        validation_slices: 1,
        device: "cpu".into(),
        epochs_done,
        best_epoch: None,
        finished: epochs_done == line.train.epochs,
    }
}

fn write<T: serde::Serialize>(path: &std::path::Path, value: &T) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_string(value).unwrap()).unwrap();
}

fn trained(plan: &Plan, line: &PlanLine, epochs: usize) {
    let dir = plan.folder(&line.training);
    write(&dir.join("config.json"), &BTreeMap::<String, u8>::new());
    write(&dir.join("manifest.json"), &manifest(line, epochs));
}

/// Scores in which all cases of a line have one Dice.
fn scored(plan: &Plan, line: &PlanLine, dice: f64) {
    let made = crate::evaluate::tests::evaluation();
    let case = |n: usize, site: &str| crate::evaluate::CaseScore {
        site: site.into(),
        case: format!("Case{n}"),
        role: Role::Target,
        dice,
        ..made.cases[0].clone()
    };
    let scores = Evaluation {
        source: line.train.source.clone(),
        mode: line.train.mode,
        grid: line.grid,
        protocol: line.protocol,
        cases: vec![case(1, "X"), case(2, "Y")],
        unscored: Vec::new(),
        overall_dice: Some(dice),
        overall_cases_dice: Some(dice),
        ..made
    };
    write(&plan.scores_path(line), &scores);
}

fn planned(config: &SweepConfig) -> (TempDir, Plan) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::create(&dir.path().join("plan"), lines(config)).unwrap();
    (dir, plan)
}

fn me() -> Worker {
    Worker { host: "here".into(), pid: 1, task: None }
}

fn state(plan: &Plan, index: usize) -> LineState {
    status(plan, "here").unwrap().swap_remove(index).state
}

#[test]
fn tables_become_one_line_a_run() {
    // Table 1: three rows of ours and six sources; Table 2: four; Table 3: seven.
    for (table, count) in SweepTable::OF_THE_PAPER.into_iter().zip([18, 24, 42]) {
        assert_eq!(lines(&config(&[table])).len(), count, "table {table}");
    }
    // Together they share DeSAM in grid points mode: 18 + 24 + 42 less twice its six.
    let all = lines(&config(&SweepTable::OF_THE_PAPER));
    assert_eq!(all.len(), 72);
    let shared = all.iter().find(|l| l.id == "BMC-points-desam-s0").unwrap();
    let tables: Vec<u8> = shared.cells.iter().map(|c| c.table.number().unwrap()).collect();
    assert_eq!(
        (tables, shared.grid, shared.train.source.single().unwrap()),
        (vec![1, 2, 3], Some(9), "BMC")
    );
    let seeded = SweepConfig { seeds: vec![2, 0, 2], ..config(&[SweepTable::Methods]) };
    assert_eq!(lines(&seeded).len(), 36);
}

#[test]
fn a_line_trains_its_variant_with_a_loss_that_the_variant_has() {
    let all = lines(&config(&SweepTable::OF_THE_PAPER));
    let supervised = |l: &PlanLine| l.train.loss.iou.is_some();
    for line in &all {
        // Eq. 1 in points mode for what predicts an IoU; else masks alone, as Eq. 2.
        let expected = line.train.mode == Mode::Points && line.train.variant.predicts_iou();
        assert_eq!(supervised(line), expected, "{}", line.id);
    }
    for variant in Variant::ALL.into_iter().filter(|v| !v.needs_adapter()) {
        assert!(all.iter().any(|l| l.train.variant == variant), "{variant}");
    }
}

#[test]
fn lines_that_differ_in_their_grid_share_a_training() {
    let lines = lines(&config(&[SweepTable::Grids]));
    let trains: Vec<bool> = lines.iter().map(PlanLine::trains).collect();
    // Six train, and come first; they are those with the paper's grid.
    assert_eq!(trains, [vec![true; 6], vec![false; 36]].concat());
    assert!(lines[..6].iter().all(|l| l.grid == Some(9)));
    assert_eq!(lines[5].id, "HK-points-desam-s0");
    let last = &lines[41];
    assert_eq!((last.id.as_str(), last.grid), ("HK-points-desam-s0-grid25", Some(25)));
    assert_eq!(last.training, "HK-points-desam-s0");
    // Without the paper's grid the first one trains.
    let filter = CellFilter { grids: Some(vec![21, 5]), ..CellFilter::default() };
    let few = super::tests::lines(&SweepConfig { filter, ..config(&[SweepTable::Grids]) });
    assert_eq!(few.len(), 12);
    assert_eq!((few[0].grid, few[6].grid, few[6].trains()), (Some(5), Some(21), false));
}

#[test]
fn subsets_and_changes_are_followed() {
    let filter = CellFilter {
        // By the paper's letter, or by its own name.
        sources: Some(vec!["D".into(), "RUNMC".into()]),
        modes: Some(vec![Mode::Points]),
        variants: Some(vec![Variant::Desam, Variant::PimmOnly]),
        grids: None,
    };
    let overrides = TrainOverrides {
        epochs: Some(3),
        batch: Some(2),
        learning_rate: Some(1e-3),
        precision: Some(Precision::Bf16),
        classes: Some("pz=1,tz=2".parse().unwrap()),
    };
    let asked = SweepConfig {
        filter,
        overrides: overrides.clone(),
        ..config(&SweepTable::OF_THE_PAPER[..2])
    };
    let lines = lines(&asked);
    let ids: Vec<&str> = lines.iter().map(|l| l.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "RUNMC-points-desam-s0",
            "UCL-points-desam-s0",
            "RUNMC-points-pimm-only-s0",
            "UCL-points-pimm-only-s0"
        ]
    );
    assert!(lines.iter().all(|l| (l.train.epochs, l.train.batch) == (3, 2) && l.sites.len() == 6));
    assert!(lines.iter().all(|l| l.train.precision == Precision::Bf16));
    assert!(lines.iter().all(|l| l.train.classes.to_string() == "pz=1,tz=2"));
    let nothing = CellFilter {
        grids: Some(vec![4]),
        modes: Some(vec![Mode::Points]),
        ..CellFilter::default()
    };
    let message = SweepConfig { filter: nothing, ..asked.clone() }.lines(&sites(), "key");
    assert!(message.unwrap_err().to_string().contains("no cell"));
    let wrong =
        SweepConfig { overrides: TrainOverrides { epochs: Some(0), ..overrides }, ..asked.clone() };
    assert!(wrong.lines(&sites(), "key").unwrap_err().to_string().contains("epochs"));
    let message = asked.lines(&sites()[..3], "key").unwrap_err().to_string();
    assert!(message.contains("no site D") && message.contains("I2CVB"), "{message}");
}

#[test]
fn any_domains_make_a_sweep_without_the_paper_s_figures() {
    let names = ["A", "Zürich", "scanner 2", "ct"];
    let domains = SweepSite::all(&names, &PaperSites::None).unwrap();
    let config = config(&[SweepTable::Methods]);
    let lines = config.lines(&domains, "key").unwrap();
    assert_eq!(lines.len(), 3 * names.len());
    let ids: Vec<&str> = lines.iter().take(4).map(|l| l.id.as_str()).collect();
    assert_eq!(ids[..2], ["A-box-sam-decoder-s0", "Z_rich-box-sam-decoder-s0"]);
    assert!(lines.iter().all(|l| l.paper_sites.is_empty() && l.sites == names));
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::create(&dir.path().join("plan"), lines).unwrap();
    for line in plan.lines() {
        trained(&plan, line, 50);
        scored(&plan, line, 0.5);
    }
    let all = collect(&plan, &over(MeanOver::Cases), "here").unwrap();
    let columns: Vec<String> = all.columns.iter().map(TableColumn::name).collect();
    assert_eq!(columns, names);
    let rows = &all.tables[0].rows;
    assert!(rows.iter().all(|r| r.paper.is_none()));
    // Of the twelve rows of Table 1 three are ours.
    let ours: Vec<_> = rows.iter().filter_map(|r| r.ours.as_ref()).collect();
    assert_eq!(ours.len(), 3);
    assert!(ours.iter().all(|r| r.cells.len() == 4 && r.overall.unwrap().mean == 50.0));
    let text = all.text();
    assert!(text.contains("scanner 2 to Rest") && text.contains("no site is mapped to"), "{text}");
    assert!(!text.contains("82.30") && !text.contains("Upper bound"), "{text}");
    let csv = all.csv().unwrap();
    assert!(csv.starts_with("table,row,whose,A_to_rest,Zürich_to_rest,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 3);
    // Said when they are collected: one of them is the paper's A, the others none.
    let named = PaperSites::Listed(vec!["A=A".parse().unwrap()]);
    let said = CollectConfig { paper_sites: Some(named), ..over(MeanOver::Cases) };
    let text = collect(&plan, &said, "here").unwrap().text();
    for part in ["A to Rest", "F to Rest", "ct to Rest", "82.30", "A = A", "other sites"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unknown = PaperSites::Listed(vec!["B=B".parse().unwrap()]);
    let unknown = CollectConfig { paper_sites: Some(unknown), ..over(MeanOver::Cases) };
    assert!(collect(&plan, &unknown, "here").unwrap_err().to_string().contains("no B"));
}

#[test]
fn one_site_can_be_left_out() {
    let names = ["A", "B", "C"];
    let domains = SweepSite::all(&names, &PaperSites::None).unwrap();
    let config = SweepConfig {
        protocol: Protocol::Native,
        preset: Preset::Volume,
        ..config(&[SweepTable::LeaveOneOut])
    };
    let lines = config.lines(&domains, "key").unwrap();
    // Two modes for each site that is left out.
    assert_eq!(lines.len(), 2 * 3);
    let ids: Vec<&str> = lines.iter().take(3).map(|l| l.id.as_str()).collect();
    assert_eq!(ids, ["not-A-box-desam-s0", "not-B-box-desam-s0", "not-C-box-desam-s0"]);
    assert_eq!(lines[1].train.source.names(), ["A", "C"]);
    assert_eq!(
        (lines[1].column_site(), &lines[1].sites[..]),
        (Some("B"), &names.map(String::from)[..])
    );
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::create(&dir.path().join("plan"), lines).unwrap();
    assert_eq!(Plan::open(plan.dir()).unwrap().lines(), plan.lines());
    let missing = collect(&plan, &over(MeanOver::Cases), "here").unwrap().missing;
    assert!(missing[1].to_string().starts_with("missing: Rest to B of Leave one site out, DeSAM"));
    for (n, line) in plan.lines().iter().enumerate() {
        trained(&plan, line, 50);
        scored(&plan, line, 0.1 * (n + 1) as f64);
    }
    let all = collect(&plan, &over(MeanOver::Cases), "here").unwrap();
    let ours: Vec<_> = all.tables[0].rows.iter().filter_map(|r| r.ours.as_ref()).collect();
    // By hand: the first three lines are the whole box, 10, 20 and 30 %.
    assert!((ours[0].overall.unwrap().mean - 20.0).abs() < 1e-9);
    assert!((ours[0].cells[2].score.unwrap().mean - 30.0).abs() < 1e-9);
    let text = all.text();
    assert!(text.contains("Leave one site out: ") && text.contains("Rest to B"), "{text}");
    assert!(all.csv().unwrap().starts_with("table,row,whose,rest_to_A,rest_to_B,"));
    // Published figures, of the same protocol, where the sites are the paper's.
    let named = PaperSites::Listed(vec!["A=A".parse().unwrap()]);
    let said = CollectConfig { paper_sites: Some(named), ..over(MeanOver::Cases) };
    let text = collect(&plan, &said, "here").unwrap().text();
    assert!(text.contains("DCAC") && text.contains("91.76"), "{text}");
    let two = config.lines(&domains[..2], "key");
    assert_eq!(two.unwrap()[0].train.source.names(), ["B"]);
}

#[test]
fn plans_of_earlier_versions_still_run() {
    let (_dir, plan) = planned(&config(&[SweepTable::Methods]));
    let path = plan.dir().join("plan.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("column"), "{text}");
    // Earlier versions wrote down a letter that they had read off the folder's name.
    let said = serde_json::to_string(&plan.lines()[0].paper_sites).unwrap();
    let said = format!("\"paper_sites\":{said}");
    assert_eq!(text.matches(&said).count(), plan.lines().len());
    std::fs::write(&path, text.replace(&said, "\"column\":\"A\"")).unwrap();
    let old = Plan::open(plan.dir()).unwrap();
    assert_eq!(old.lines().len(), plan.lines().len());
    assert!(old.lines().iter().all(|l| l.paper_sites.is_empty()));
    for line in old.lines() {
        trained(&old, line, 50);
        scored(&old, line, 0.5);
    }
    let all = collect(&old, &over(MeanOver::Cases), "here").unwrap();
    assert!(all.missing.is_empty() && !all.text().contains("82.30"));
    let said = CollectConfig { paper_sites: Some(PaperSites::ByName), ..over(MeanOver::Cases) };
    assert!(collect(&old, &said, "here").unwrap().text().contains("82.30"));
}

#[test]
fn a_plan_is_kept_and_never_replaced() {
    let (dir, plan) = planned(&config(&SweepTable::OF_THE_PAPER));
    let again = Plan::create(plan.dir(), plan.lines().to_vec()).unwrap();
    assert_eq!(again.lines(), plan.lines());
    let other = lines(&config(&[SweepTable::Methods]));
    let message = Plan::create(plan.dir(), other).unwrap_err().to_string();
    assert!(message.contains("another plan"), "{message}");
    assert!(Plan::open(dir.path()).unwrap_err().to_string().contains("no plan"));
    let message = plan.line(72).unwrap_err().to_string();
    assert!(message.contains("0 to 71"), "{message}");

    let path = plan.dir().join("plan.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let broken = [
        ("\"id\":\"RUNMC-box-desam-s0\"", "\"id\":\"../../x\"", "not plain"),
        ("\"index\":1,", "\"index\":2,", "its index is 2, expected 1"),
        (
            "\"training\":\"HK-points-desam-s0\"",
            "\"training\":\"none\"",
            "no line before it trains",
        ),
        ("\"epochs\":50", "\"epochs\":0", "epochs"),
        ("\"grid\":9", "\"grid\":0", "its grid is 0 in points mode"),
        ("\"grid\":9", "\"grid\":null", "its grid is none in points mode"),
        ("\"grid\":null", "\"grid\":9", "none in box mode"),
        ("\"index\":0,", "\"index\":0,\"more\":1,", "line 1: unknown field"),
        ("\"protocol\":\"paper\"", "\"protocol\":\"full\"", "another protocol"),
    ];
    for (from, to, word) in broken {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let message = Plan::open(plan.dir()).unwrap_err().to_string();
        assert!(message.contains(word) && message.contains("plan.jsonl"), "{message}");
    }
    std::fs::write(&path, "").unwrap();
    assert!(Plan::open(plan.dir()).is_err());
}

#[test]
fn a_line_goes_from_waiting_to_done() {
    let (_dir, plan) = planned(&config(&[SweepTable::Grids]));
    let line = plan.line(0).unwrap();
    assert_eq!(state(&plan, 0), LineState::Waiting);
    let LockAttempt::Acquired(lock) =
        plan.acquire(LockTarget::Line(&line.id), &me(), false, &desam_core::Quiet).unwrap()
    else {
        panic!()
    };
    trained(&plan, line, 3);
    let running = LineState::Running { worker: me(), epochs_done: 3, epochs: 50, alive: true };
    assert_eq!(state(&plan, 0), running);
    assert!(running.detail().contains("epoch 3/50 on here"));
    drop(lock);
    write(&plan.folder(&line.id).join("lock.json"), &me());
    assert!(matches!(state(&plan, 0), LineState::Interrupted { epochs_done: 3, .. }));
    write(&plan.folder(&line.id).join("lock.json"), &Worker { host: "there".into(), ..me() });
    assert!(matches!(state(&plan, 0), LineState::Running { alive: false, .. }));
    std::fs::remove_file(plan.folder(&line.id).join("lock.json")).unwrap();
    // Scores of a model that is not trained to its end count for nothing.
    scored(&plan, line, 0.5);
    assert_eq!(state(&plan, 0), LineState::Waiting);
    trained(&plan, line, 50);
    assert_eq!(state(&plan, 0), LineState::Done { dice: Some(0.5) });
    // Another line that scores this model is not done by that.
    let other = plan.lines().iter().find(|l| l.training == line.id && !l.trains()).unwrap();
    assert_eq!(state(&plan, other.index), LineState::Waiting);
    std::fs::copy(plan.scores_path(line), {
        std::fs::create_dir_all(plan.folder(&other.id)).unwrap();
        plan.scores_path(other)
    })
    .unwrap();
    match state(&plan, other.index) {
        LineState::Failed { reason, .. } => assert!(reason.contains("expected"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_that_others_have_is_left_to_them_and_a_failure_is_kept() {
    let (_dir, plan) = planned(&config(&[SweepTable::Grids]));
    let options = SweepOptions {
        cache: None,
        worker: me(),
        force: false,
        checkpoint_every: None,
        clock: || std::time::Duration::ZERO,
        device: candle_core::Device::Cpu,
    };
    let other = Worker { pid: 2, ..me() };
    let id = "RUNMC-points-desam-s0";
    let LockAttempt::Acquired(own) =
        plan.acquire(LockTarget::Line(id), &other, false, &desam_core::Quiet).unwrap()
    else {
        panic!()
    };
    match run_line(&plan, 0, &options, &desam_core::Quiet).unwrap() {
        LineOutcome::Busy { training: false, worker, .. } => assert_eq!(worker, other),
        outcome => panic!("{outcome:?}"),
    }
    drop(own);
    let LockAttempt::Acquired(lock) =
        plan.acquire(LockTarget::Training(id), &other, false, &desam_core::Quiet).unwrap()
    else {
        panic!()
    };
    assert!(matches!(state(&plan, 0), LineState::Running { .. }));
    let later = plan
        .lines()
        .iter()
        .find(|l| l.train.source.single() == Some("RUNMC") && !l.trains())
        .unwrap();
    for index in [0, later.index] {
        match run_line(&plan, index, &options, &desam_core::Quiet).unwrap() {
            LineOutcome::Busy { id: busy, training: true, worker, alive: true } => {
                assert_eq!((busy.as_str(), &worker), (id, &other));
            }
            outcome => panic!("{outcome:?}"),
        }
    }
    drop(lock);
    // There is no cache.
    run_line(&plan, 0, &options, &desam_core::Quiet).unwrap_err();
    match state(&plan, 0) {
        LineState::Failed { reason, worker } => {
            assert!(reason.contains("/cache"), "{reason}");
            assert_eq!(worker, Some(me()));
        }
        other => panic!("{other:?}"),
    }
    assert!(run_line(&plan, 99, &options, &desam_core::Quiet).is_err());
    // A finished line is unchanged, with or without the cache.
    trained(&plan, plan.line(1).unwrap(), 50);
    scored(&plan, plan.line(1).unwrap(), 0.25);
    let outcome = run_line(&plan, 1, &options, &desam_core::Quiet).unwrap();
    assert!(matches!(outcome, LineOutcome::AlreadyDone(_)), "{outcome:?}");
}

#[test]
fn a_whole_table_stands_beside_the_paper_s() {
    let seeds = vec![0, 1];
    let (_dir, plan) = planned(&SweepConfig { seeds, ..config(&[SweepTable::Methods]) });
    for line in plan.lines() {
        trained(&plan, line, 50);
        // A to Rest 0.60 and 0.62 by seed, B 0.61 and 0.63, and so on.
        let dice = 0.60
            + 0.01 * line.paper_sites[line.train.source.single().unwrap()].column() as f64
            + 0.02 * line.train.seed as f64;
        scored(&plan, line, dice);
    }
    let all = collect(&plan, &over(MeanOver::Cases), "here").unwrap();
    assert!(all.missing.is_empty() && all.not_planned().is_empty());
    let row = all.tables[0].rows.iter().find(|r| r.method == "DeSAM (whole box)").unwrap();
    let ours = row.ours.as_ref().unwrap();
    let score = ours.cells[1].score.unwrap();
    // By hand: 61 and 63 have the mean 62 and the spread sqrt(2).
    assert!((score.mean - 62.0).abs() < 1e-9 && (score.spread.unwrap() - 2f64.sqrt()).abs() < 1e-9);
    // The six have the mean 62.5 and 64.5.
    assert!((ours.overall.unwrap().mean - 63.5).abs() < 1e-9);
    let text = all.text();
    for part in [
        "Table 1: single-source domain generalization",
        "A to Rest",
        "DeSAM (whole box)",
        "82.30",
        "61.00 ±1.41",
        "63.50 ±1.41",
        "Upper bound",
        "standard deviation over the seeds 0, 1",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // Only the rows of our decoders have figures of ours; all twelve have the paper's.
    assert_eq!(text.matches(" ours ").count(), 3);
    assert_eq!(text.matches(" paper ").count(), 12 + 1, "{text}");
    assert!(text.lines().all(|l| l.trim_end() == l));
    let markdown = all.markdown();
    assert!(markdown.contains("| DeSAM (whole box) | paper | 82.30 | 78.06 |"), "{markdown}");
    assert!(markdown.contains("|  | ours | 61.00 ±1.41 |"), "{markdown}");
    let csv = all.csv().unwrap();
    assert!(csv.starts_with("table,row,whose,a_to_rest,"), "{csv}");
    assert!(csv.contains("1,DeSAM (whole box),ours,61.0000,62.0000,"), "{csv}");
    assert!(csv.contains("1,DeSAM (whole box),ours_seeds,2,2,2,2,2,2,2"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 12 + 3 * 3);
}

#[test]
fn what_is_missing_is_named_and_in_no_mean() {
    let sources = Some(vec!["A".into(), "B".into()]);
    let filter = CellFilter { sources, ..CellFilter::default() };
    let seeds = vec![0, 1];
    let config = SweepConfig { seeds, filter, ..config(&[SweepTable::Ablations]) };
    let (_dir, plan) = planned(&config);
    let desam = |seed: u64| {
        let ours = |l: &&PlanLine| l.train.variant == Variant::Desam && l.train.seed == seed;
        plan.lines().iter().filter(ours).collect::<Vec<_>>()
    };
    for line in desam(0) {
        trained(&plan, line, 50);
        scored(&plan, line, 0.5);
    }
    let all = collect(&plan, &over(MeanOver::Sites), "here").unwrap();
    assert_eq!(all.missing.len(), 4 * 2 * 2 - 2);
    let line = desam(1)[0];
    let said = all.missing.iter().find(|m| m.id == line.id).unwrap().to_string();
    assert_eq!(
        said,
        format!(
            "missing: RUNMC to Rest of Table 2, DeSAM: line {} (RUNMC-points-desam-s1) is waiting",
            line.index
        )
    );
    let row = all.tables[0].rows.iter().find(|r| r.method == "DeSAM").unwrap();
    let ours = row.ours.as_ref().unwrap();
    assert!(ours.cells[0].is_missing() && !ours.cells[2].is_missing());
    assert_eq!(ours.overall, None);
    // Target-only sites have letters too.
    assert_eq!(all.columns.len(), PaperLetter::ALL.len());
    let text = all.text();
    assert!(text.contains("50.00 (1 of 2)") && text.contains("missing"), "{text}");
    assert!(text.contains("not planned: Table 2, DeSAM: C, D, E, F"), "{text}");
}

#[test]
fn the_full_protocol_leaves_the_paper_s_figures_out() {
    let (_dir, plan) =
        planned(&SweepConfig { protocol: Protocol::Full, ..config(&[SweepTable::Methods]) });
    let all = collect(&plan, &over(MeanOver::Cases), "here").unwrap();
    assert!(all.tables[0].rows.iter().all(|r| r.paper.is_none()));
    let text = all.text();
    assert!(!text.contains("82.30") && text.contains("never mixed"), "{text}");
    assert!(text.contains("DeSAM (whole box)    ours"), "{text}");
}
