//! The job files for Kubernetes say what the program understands.

use crate::common::{Ended, program};
use std::path::Path;

/// The text after `name` in a job file, which has it once.
fn field<'t>(text: &'t str, name: &str) -> &'t str {
    let mut found = text.lines().filter_map(|l| l.trim().strip_prefix(name));
    let value = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} is there twice");
    value.trim()
}

#[test]
fn indexed_jobs_call_the_program_as_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes");
    // What each complains of first, where nothing of theirs is there.
    for (file, word) in [("embed.yaml", "/work/data"), ("sweep.yaml", "no plan")] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(field(&text, "completionMode:"), "Indexed");
        let arguments: Vec<String> = serde_json::from_str(field(&text, "args:")).unwrap();
        // With a wrong argument the program would end with 2.
        let output = program().args(&arguments).env("JOB_COMPLETION_INDEX", "0").output().unwrap();
        Ended::from(output).fails_with(&[word]);
        if let Some(parts) = arguments.iter().skip_while(|a| *a != "--num-parts").nth(1) {
            assert_eq!(field(&text, "completions:"), parts);
        }
    }
}
