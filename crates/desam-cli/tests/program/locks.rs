//! Advisory locks: of two processes that write to one folder, the second fails and names the first.

#![cfg(unix)]

use crate::common::{Ended, fixture, program, run};
use crate::killed::files;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A suspended process that holds a lock; killed on drop.
struct LockHolder {
    child: Child,
}

impl LockHolder {
    /// Starts the program and suspends it once `lock` contains its process ID.
    #[track_caller]
    fn start(arguments: &[OsString], lock: &Path) -> Self {
        let mut command = program();
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let started = Instant::now();
        let pid = format!("\"pid\":{}", child.id());
        while !std::fs::read_to_string(lock).is_ok_and(|text| text.contains(&pid)) {
            assert!(
                child.try_wait().unwrap().is_none(),
                "it finished before it was seen to hold the lock"
            );
            assert!(started.elapsed() < Duration::from_secs(60), "it never took the lock");
            std::thread::sleep(Duration::from_micros(300));
        }
        let holder = Self { child };
        let pid = holder.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "STOP", &pid]).status().unwrap().success());
        holder
    }

    /// Fails the test unless `arguments` fail because of this lock, without changing anything in `dir`.
    #[track_caller]
    fn blocks(&self, arguments: Vec<OsString>, dir: &Path) {
        let before = files(dir);
        let pid = format!("process {}", self.child.id());
        run(arguments).fails_with(&[&pid, "is in use", "since 2", "UTC", "`desam"]);
        assert!(files(dir) == before, "the rejected process changed something");
    }
}

impl Drop for LockHolder {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn embed(cache: &Path, more: &[&str]) -> Vec<OsString> {
    let data = &fixture().data;
    let all = args!["embed", "-q", "--data", data, "--out", cache, "--encoder", "tiny"];
    all.into_iter().chain(more.iter().map(OsString::from)).collect()
}

fn train(out: &Path, more: &[&str]) -> Vec<OsString> {
    let cache = &fixture().cache;
    let all = args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "box", "--out", out, "--lr",
        "1e-3", "--batch", "2"
    ];
    all.into_iter().chain(more.iter().map(OsString::from)).collect()
}

#[test]
fn embed_locks_its_folder_until_it_exits_or_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let all = ["--slices", "all"];
    let holder = LockHolder::start(&embed(&cache, &all), &cache.join(".desam.lock"));
    holder.blocks(embed(&cache, &all), &cache);
    holder.blocks(embed(&cache, &["--slices", "all", "--dtype", "f32"]), &cache);
    holder.blocks(embed(&cache, &["--num-parts", "2", "--part-id", "0"]), &cache);
    holder.blocks(embed(&cache, &["--num-parts", "2", "--finish"]), &cache);
    holder.blocks(train(&cache, &["--epochs", "1"]), &cache);
    drop(holder);
    // The lock file is still there, but no longer locked.
    assert!(cache.join(".desam.lock").is_file());
    run(embed(&cache, &all)).expect(0);
    assert!(!cache.join(".desam.lock").exists());
    assert!(files(&cache) == files(&fixture().cache), "another cache than an undisturbed run's");
}

#[test]
fn parts_share_a_folder_if_their_settings_agree() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let part = |index: &str, more: &[&str]| {
        let all = ["--slices", "all", "--num-parts", "2", "--part-id", index];
        embed(&cache, &[&all[..], more].concat())
    };
    let lock = cache.join(".desam-part-0-of-2.lock");
    let holder = LockHolder::start(&part("0", &[]), &lock);
    // The same part twice, a run without parts, parts with other settings, other data, another N.
    holder.blocks(part("0", &[]), &cache);
    holder.blocks(embed(&cache, &["--slices", "all"]), &cache);
    let pid = format!("process {}", holder.child.id());
    let other = |arguments: Vec<OsString>, difference: &str| {
        let before = files(&cache);
        run(arguments).fails_with(&["in use", "other settings", &pid, difference]);
        assert!(files(&cache) == before);
    };
    other(part("1", &["--dtype", "f32"]), "feature type: existing f16, requested f32");
    other(part("1", &["--orientation", "stored"]), "preprocessing: existing");
    let mut fewer = part("1", &[]);
    let site = folder.path().join("data");
    copy(&fixture().data.join("A"), &site.join("A"));
    let data = fewer.iter().position(|word| word == "--data").unwrap() + 1;
    fewer[data] = site.into();
    other(fewer, "cases: existing 6, hash");
    let third = ["--slices", "all", "--num-parts", "3", "--part-id", "1"];
    other(embed(&cache, &third), "number of parts: existing 2, requested 3");
    // Another part runs at the same time.
    let done = run(part("1", &["--json"])).expect(0).json();
    assert_eq!(done["waiting_for"], serde_json::json!([0]));
    drop(holder);
    run(part("0", &[])).expect(0);
    assert!(files(&cache) == files(&fixture().cache), "another cache than an undisturbed run's");
    let names = std::fs::read_dir(&cache).unwrap().map(|e| e.unwrap().file_name());
    let locks = names.filter(|name| name.to_string_lossy().ends_with(".lock"));
    assert_eq!(locks.count(), 0);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_run_is_trained_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let long = ["--epochs", "3", "--checkpoint-minutes", "0.00001", "--resume"];
    let holder = LockHolder::start(&train(&out, &long), &out.join(".desam.lock"));
    holder.blocks(train(&out, &long), &out);
    holder.blocks(train(&out, &["--epochs", "3"]), &out);
    holder.blocks(embed(&out, &[]), &out);
    drop(holder);
    // Four at once: the first one trains, the others fail or find the run finished.
    let four: Vec<Ended> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| run(train(&out, &long)))).collect();
        starts.into_iter().map(|s| s.join().unwrap()).collect()
    });
    assert!(four.iter().any(|ended| ended.code == Some(0)), "{four:#?}");
    for ended in four.into_iter().filter(|ended| ended.code != Some(0)) {
        ended.fails_with(&["is in use", "process "]);
    }
    let alone = folder.path().join("alone");
    run(train(&alone, &long)).expect(0);
    assert!(files(&out) == files(&alone), "another run than an undisturbed one");
}

#[test]
fn concurrent_embeddings_with_different_settings_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let settings = [["--dtype", "f16"], ["--dtype", "f32"], ["--orientation", "stored"]];
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let cache = &cache;
        let starts: Vec<_> =
            settings.iter().map(|more| scope.spawn(move || run(embed(cache, more)))).collect();
        starts.into_iter().map(|s| s.join().unwrap()).collect()
    });
    let winner = ended.iter().position(|e| e.code == Some(0)).expect("none was done");
    for (n, ended) in ended.into_iter().enumerate().filter(|(n, _)| *n != winner) {
        let ended = ended.expect(1);
        let refused =
            ["is in use", "was made with other settings"].iter().any(|w| ended.stderr.contains(w));
        assert!(refused, "{:?}: {ended:#?}", settings[n]);
    }
    run(args!["info", "-q", cache, "--verify"]).expect(0);
    let alone = folder.path().join("alone");
    run(embed(&alone, &settings[winner])).expect(0);
    assert!(files(&cache) == files(&alone), "another cache than an undisturbed run's");
}

#[test]
fn force_does_not_take_a_line_from_a_live_worker() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan");
    let base = args!["sweep", "plan", "--table", "1", "--cache", fixture().cache, "--out", plan];
    let few = args!["--sources", "A", "--variants", "desam", "--modes", "box", "--epochs", "6"];
    run(base.into_iter().chain(few)).expect(0);
    let line = args!["sweep", "run", "-q", plan, "--index", "0", "--force"];
    let lock = plan.join("runs/A-box-desam-s0/lock.json");
    let holder = LockHolder::start(&line, &lock);
    let pid = format!("process {}", holder.child.id());
    run(line.clone()).fails_with(&["held by", &pid, "alive"]);
    let all = run(args!["sweep", "run", "-q", plan, "--all", "--force", "--json"]).expect(0).json();
    assert_eq!(all["left_to_others"].as_array().unwrap().len(), 1, "{all}");
    drop(holder);
    run(line).expect(0);
}

#[test]
fn evaluate_phantom_and_demo_lock_their_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture();
    let at = |name: &str| folder.path().join(name);
    let scores = at("scores.json");
    let evaluate = |json: &Path, csv: &Path| {
        args![
            "evaluate",
            "-q",
            "--cache",
            fixture.cache,
            "--run",
            fixture.run,
            "--json",
            json,
            "--csv",
            csv
        ]
        .to_vec()
    };
    let lock = at(".desam-scores.json.lock");
    let holder = LockHolder::start(&evaluate(&scores, &at("a.csv")), &lock);
    holder.blocks(evaluate(&scores, &at("b.csv")), folder.path());
    run(evaluate(&at("other.json"), &at("other.csv"))).expect(0);
    drop(holder);
    run(evaluate(&scores, &at("a.csv"))).expect(0);

    let phantoms = |seed: &str| {
        let more = ["--cases-per-site", "9", "--seed", seed];
        let base = args!["phantom", "-q", "--out", at("phantoms")];
        base.into_iter().chain(more.map(OsString::from)).collect::<Vec<_>>()
    };
    let holder = LockHolder::start(&phantoms("0"), &at("phantoms/.desam.lock"));
    holder.blocks(phantoms("1"), &at("phantoms"));
    drop(holder);

    let demo = args!["demo", "-q", "--out", at("demo"), "--cases-per-site", "2"].to_vec();
    let holder = LockHolder::start(&demo, &at("demo/.desam.lock"));
    holder.blocks(demo, &at("demo"));
}
