//! The Slurm job files, run by a real single-node Slurm that the test starts.
//!
//! Needs root, Debian's slurm-wlm and munge, and the script that starts them; skipped otherwise.

use crate::common::{fixture, program, run};
use crate::killed::files;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A Slurm on this machine only; stopped on drop.
struct Cluster {
    script: PathBuf,
    dir: tempfile::TempDir,
    /// Munge runs system-wide: it is stopped only if this test started it.
    started_munge: bool,
}

impl Cluster {
    /// Starts Slurm, or returns why that is impossible.
    fn start() -> Result<Self, String> {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/slurm/single-node");
        if !script.is_file() {
            return Err(format!("{} is not there", script.display()));
        }
        if succeeds(&["id", "-u"]).is_none_or(|id| id.trim() != "0") {
            return Err("it needs root".into());
        }
        for name in ["sbatch", "slurmctld", "slurmd", "munged", "unmunge"] {
            if succeeds(&["sh", "-c", &format!("command -v {name}")]).is_none() {
                return Err(format!("{name} is not installed"));
            }
        }
        let started_munge = succeeds(&["sh", "-c", "munge -n | unmunge"]).is_none();
        let cluster = Self { script, dir: tempfile::tempdir().unwrap(), started_munge };
        let free = [0; 2].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let [control, node] = free.each_ref().map(|l| l.local_addr().unwrap().port().to_string());
        drop(free);
        let mut start = Command::new(&cluster.script);
        start.arg("start").arg(cluster.dir.path());
        start.env("SLURMCTLD_PORT", control).env("SLURMD_PORT", node);
        let output = start.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Ok(cluster)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("SLURM_CONF", self.dir.path().join("slurm.conf"));
        command.env("DESAM", program().get_program());
        command.current_dir(self.dir.path());
        command
    }

    #[track_caller]
    fn say<A: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = A>) -> String {
        let output: Output = self.command(name).args(arguments).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Submits a job file, with resources that this machine has; returns the job ID.
    #[track_caller]
    fn submit(&self, file: &str, options: &[&str], job: &[&OsStr]) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/slurm").join(file);
        let mut arguments = args!["--parsable", "--cpus-per-task=1", "--mem=0"].to_vec();
        arguments.extend(options.iter().map(Into::into));
        arguments.push(file.into());
        arguments.extend(job.iter().map(|a| (*a).to_owned()));
        self.say("sbatch", arguments)
    }

    /// Waits until the queue is empty.
    #[track_caller]
    fn drain(&self) {
        let started = Instant::now();
        loop {
            let left = self.say("squeue", ["-h", "-o", "%i %T %r"]);
            if left.is_empty() {
                return;
            }
            let logs = || self.logs();
            assert!(started.elapsed() < Duration::from_secs(90), "{left}\n{}", logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The logs of all tasks.
    fn logs(&self) -> String {
        let mut text = String::new();
        for (name, bytes) in files(self.dir.path()) {
            if name.to_string_lossy().starts_with("desam-") {
                text.push_str(&format!("== {}\n", name.display()));
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.command("scancel").args(["--user", "root"]).output().ok();
        Command::new(&self.script).arg("stop").arg(self.dir.path()).output().ok();
        // The daemons exit asynchronously, and write to the folder until then.
        let ended = |name: &str| !self.dir.path().join(name).exists();
        let started = Instant::now();
        while !(ended("slurmctld.pid") && ended("slurmd.pid"))
            && started.elapsed() < Duration::from_secs(10)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        if self.started_munge {
            succeeds(&["sh", "-c", "kill \"$(cat /run/munge/munged.pid)\""]);
        }
    }
}

/// Output of a command, if it succeeded.
fn succeeds(command: &[&str]) -> Option<String> {
    let (name, arguments) = command.split_first()?;
    let output = Command::new(name).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn array_jobs_embed_and_sweep_and_a_requeued_task_resumes() {
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => {
            eprintln!("skipped: no Slurm of one node: {why}");
            return;
        }
    };
    let fixture = fixture();
    let (cache, plan) = (cluster.dir.path().join("cache"), cluster.dir.path().join("plan"));

    // Two concurrent parts give the bytes of a single run.
    let embed = args![
        "--data",
        fixture.data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
        "--num-parts",
        "2",
    ];
    let embed: Vec<&OsStr> = embed.iter().map(AsRef::as_ref).collect();
    let job = cluster.submit("embed.sbatch", &["--array=0-1"], &embed);
    cluster.drain();
    let (expected, found) = (files(&fixture.cache), files(&cache));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "{}",
        cluster.logs()
    );
    assert!(found == expected, "the array's features differ from one run's");
    for task in 0..2 {
        let log = cluster.dir.path().join(format!("desam-embed_{job}_{task}.log"));
        assert!(std::fs::read_to_string(log).unwrap().contains(&format!("{task} of 2")));
    }

    // Two lines that train, and one that evaluates the model of the second.
    let planned = |out: &Path| {
        let lines = args!["--variants", "desam", "--grids", "1,9", "--sources", "A"];
        let plan = args!["sweep", "plan", "--table", "1,3", "--cache", cache, "--out", out];
        let training = args!["--epochs", "3", "--lr", "1e-3"];
        run(plan.into_iter().chain(lines).chain(training)).expect(0);
    };
    planned(&plan);
    let first = cluster.submit("sweep.sbatch", &["--array=0-1%2"], &[plan.as_ref()]);
    let after = format!("--dependency=afterok:{first}");
    cluster.submit("sweep.sbatch", &["--array=2-2", &after], &[plan.as_ref()]);

    // The second is killed after it has started to train, and requeued as the same task. By default
    // Slurm waits two minutes before it restarts a task.
    let manifest = plan.join("runs/A-points-desam-s0/manifest.json");
    let started = Instant::now();
    while !manifest.is_file() {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(10));
    }
    let task = format!("{first}_1");
    cluster.say("scontrol", ["requeue", &task]);
    let job = format!("JobId={task}");
    let killed = || cluster.say("scontrol", ["show", "job", &task]).contains("JobState=PENDING");
    while !killed() {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    run(args!["sweep", "collect", plan]).fails_with(&["missing", "A-points-desam-s0"]);
    cluster.say("scontrol", ["update", &job, "StartTime=now"]);
    cluster.drain();

    let logs = cluster.logs();
    assert!(logs.contains("DUE TO JOB REQUEUE"), "nothing was killed: {logs}");
    let status = run(args!["sweep", "status", plan, "--json"]).expect(0).json();
    assert_eq!(status["counts"]["done"], 3, "{status} {logs}");
    let all = run(args!["sweep", "collect", plan, "--json"]).expect(0).json();
    assert!(all["missing"].as_array().unwrap().is_empty());

    // The same scores as on one machine without interruption.
    let alone = cluster.dir.path().join("alone");
    planned(&alone);
    run(args!["sweep", "run", "-q", alone, "--all"]).expect(0);
    for line in ["A-box-desam-s0", "A-points-desam-s0", "A-points-desam-s0-grid1"] {
        let scores = |plan: &Path| {
            std::fs::read(plan.join("runs").join(line).join("evaluation_paper.json")).unwrap()
        };
        assert!(scores(&plan) == scores(&alone), "{line} differs from an unbroken run's");
    }
}
