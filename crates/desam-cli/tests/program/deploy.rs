//! Job files in deploy/: valid arguments, valid shell scripts.

use crate::common::{Ended, program};
use std::path::Path;
use std::process::Command;

/// The text after `name` in a job file, which must contain it exactly once.
fn field<'t>(text: &'t str, name: &str) -> &'t str {
    let mut found = text.lines().filter_map(|l| l.trim().strip_prefix(name));
    let value = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} is there twice");
    value.trim()
}

#[test]
fn kubernetes_jobs_use_valid_arguments() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes");
    // The first error of each without its files.
    for (file, word) in [("embed.yaml", "/study/data"), ("sweep.yaml", "no plan")] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(field(&text, "completionMode:"), "Indexed");
        let arguments: Vec<String> = serde_json::from_str(field(&text, "args:")).unwrap();
        // A wrong argument would be a usage error, with exit code 2.
        let output = program().args(&arguments).env("JOB_COMPLETION_INDEX", "0").output().unwrap();
        Ended::from(output).fails_with(&[word]);
        if let Some(parts) = arguments.iter().skip_while(|a| *a != "--num-parts").nth(1) {
            assert_eq!(field(&text, "completions:"), parts);
        }
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "a test that could not run must say so")]
fn slurm_job_files_are_valid_shell_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/slurm");
    let files = ["embed.sbatch", "sweep.sbatch"].map(|name| folder.join(name));
    for mut check in [vec!["bash", "-n"], vec!["shellcheck"]] {
        let name = check.remove(0);
        for file in &files {
            match Command::new(name).args(&check).arg(file).output() {
                Ok(output) => assert!(output.status.success(), "{name}: {output:?}"),
                Err(e) => println!("skipped: {name} cannot be run: {e}"),
            }
        }
    }
}
