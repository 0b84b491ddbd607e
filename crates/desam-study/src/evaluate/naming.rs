//! File names of scores, distinct for different evaluations of one run.

use super::{Evaluation, Protocol, ScoringSettings, Setting};
use desam_metrics::metric::CaseMetric;
use std::path::{Path, PathBuf};

/// Longest value in a file name; a longer one is replaced by its hash.
const MAX_VALUE_LEN: usize = 32;
/// Files of one run and protocol to try before the search for a name ends.
const MAX_FILES: usize = 32;

/// The file stem for an evaluation with these settings in `folder`.
///
/// It is `evaluation_PROTOCOL`, unless a file of that name holds scores with other settings: then the
/// differing settings are appended, as in `evaluation_paper_border0`. So scores with other settings are
/// never overwritten; an existing file of the returned name holds scores with the same settings, or
/// cannot be read.
pub fn evaluation_stem(folder: &Path, protocol: Protocol, settings: &ScoringSettings) -> String {
    let mut stem = format!("evaluation_{protocol}");
    for _ in 0..MAX_FILES {
        let path = folder.join(format!("{stem}.json"));
        let Ok(there) = Evaluation::read_json(&path) else {
            break;
        };
        let differing = settings.differences(&ScoringSettings::of(&there));
        if differing.is_empty() {
            break;
        }
        differing.iter().for_each(|setting| stem.push_str(&suffix(setting)));
    }
    stem
}

/// Finds the file in a run's folder that holds its scores under a protocol with `metric`.
///
/// It is `evaluation_PROTOCOL.json`; where that lacks the metric, another file in the folder that has it
/// and differs only in its metrics and intervals. Where there is none, it is still the first, whose
/// reader then reports the missing metric.
pub fn find_scores(folder: &Path, protocol: Protocol, metric: CaseMetric) -> PathBuf {
    let stem = format!("evaluation_{protocol}");
    let base = folder.join(format!("{stem}.json"));
    let Ok(there) = Evaluation::read_json(&base) else {
        return base;
    };
    if there.metrics.contains(&metric) {
        return base;
    }
    let settings = ScoringSettings::of(&there);
    let measures = |path: &PathBuf| {
        let Ok(other) = Evaluation::read_json(path) else {
            return false;
        };
        let other_settings = ScoringSettings::of(&other);
        let differing = settings.differences(&other_settings);
        let more = |s: &&Setting| matches!(s.name, "metrics" | "intervals");
        other.metrics.contains(&metric) && differing.iter().all(more)
    };
    let sibling = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{stem}_")) && name.ends_with(".json")
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|e| e.path()).filter(sibling).collect();
    files.sort_unstable();
    files.into_iter().find(measures).unwrap_or(base)
}

/// A setting as part of a file name: `_border0`, `_grid5`, `_sites-B-C`.
fn suffix(setting: &Setting) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let mut value: String = setting.value.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    if value.len() > MAX_VALUE_LEN || value != setting.value {
        value = blake3::hash(setting.value.as_bytes()).to_hex().as_str()[..8].to_owned();
    }
    match setting.name {
        "prompts" | "precision" => format!("_{value}"),
        "border" => format!("_border{value}"),
        name => format!("_{}-{value}", name.replace(' ', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{evaluation, evaluation_with_hd95};
    use desam::Mode;

    #[test]
    fn file_names_distinguish_settings() {
        let folder = tempfile::tempdir().unwrap();
        let stem = |evaluation: &Evaluation| {
            evaluation_stem(folder.path(), evaluation.protocol, &ScoringSettings::of(evaluation))
        };
        let write = |stem: &str, evaluation: &Evaluation| {
            evaluation.write_json(&folder.path().join(format!("{stem}.json"))).unwrap();
        };
        let first = evaluation();
        assert_eq!(stem(&first), "evaluation_paper");
        write("evaluation_paper", &first);
        // The same settings have the same name.
        assert_eq!(stem(&first), "evaluation_paper");
        let borderless = Evaluation { border_px: 0, ..evaluation() };
        assert_eq!(stem(&borderless), "evaluation_paper_border0");
        write("evaluation_paper_border0", &borderless);
        assert_eq!(stem(&borderless), "evaluation_paper_border0");
        let coarse = Evaluation { grid: Some(5), border_px: 0, ..evaluation() };
        assert_eq!(stem(&coarse), "evaluation_paper_grid5_border0");
        let boxed = Evaluation { mode: Mode::Box, grid: None, ..evaluation() };
        assert_eq!(stem(&boxed), "evaluation_paper_box");
        assert_eq!(stem(&evaluation_with_hd95()), "evaluation_paper_metrics-dice-hd95_mm");
        let full = Evaluation { protocol: Protocol::Full, ..evaluation() };
        assert_eq!(stem(&full), "evaluation_full");
        // A base that was overwritten since leads to another name.
        write("evaluation_paper", &boxed);
        assert_eq!(stem(&borderless), "evaluation_paper_grid9_border0");
        // What cannot be read is left alone.
        std::fs::write(folder.path().join("evaluation_full.json"), "{").unwrap();
        assert_eq!(stem(&full), "evaluation_full");
    }

    #[test]
    fn a_metric_is_found_in_another_file_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let hd95: CaseMetric = "hd95_mm".parse().unwrap();
        let find = |metric| find_scores(folder.path(), Protocol::Paper, metric);
        assert_eq!(find(hd95), at("evaluation_paper.json"));
        evaluation().write_json(&at("evaluation_paper.json")).unwrap();
        // Of another border: not the same scores.
        let other = Evaluation { border_px: 0, ..evaluation_with_hd95() };
        other.write_json(&at("evaluation_paper_border0.json")).unwrap();
        assert_eq!(find(hd95), at("evaluation_paper.json"));
        evaluation_with_hd95().write_json(&at("evaluation_paper_metrics-x.json")).unwrap();
        assert_eq!(find(hd95), at("evaluation_paper_metrics-x.json"));
        assert_eq!(find(CaseMetric::DICE), at("evaluation_paper.json"));
    }

    #[test]
    fn odd_values_become_hashes() {
        let setting = |name, value: &str| Setting { name, value: value.into(), decides: false };
        assert_eq!(suffix(&setting("sites", "B-C")), "_sites-B-C");
        let odd = suffix(&setting("sites", "../../etc"));
        assert!(odd.len() == "_sites-".len() + 8 && !odd.contains('/'), "{odd}");
        assert_eq!(suffix(&setting("metrics", &"x".repeat(99))).len(), "_metrics-".len() + 8);
    }
}
