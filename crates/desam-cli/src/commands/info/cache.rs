//! Description of a feature cache.

use super::{Session, aligned};
use crate::commands::json_path;
use crate::output::Output;
use anyhow::Context;
use desam::data::cache::{FeatureCache, human_bytes};
use desam::model::{WEIGHTS_FILE, WeightsCoverage, cache_weights_path, verify_cache};
use desam::types::text::DisplayPath as _;
use serde_json::json;
use std::path::Path;

pub(super) fn describe(path: &Path, verify: bool, session: &Session) -> anyhow::Result<Output> {
    let cache = FeatureCache::open(path)?;
    let verified = verify.then(|| verify_cache(&cache, &session.terminal)).transpose()?;
    let has_weights = cache_weights_path(&cache).is_file();
    let header = cache.header();
    let recipe = &header.recipe;
    let size = folder_bytes(path)?;
    let labelled = cache.slices().iter().filter(|s| s.labelled).count();
    let sites = cache.sites();
    let mut features = format!("{}, {} slices", recipe.dtype, recipe.slices);
    if !recipe.precision.is_f32() {
        features.push_str(&format!(", computed in {}", recipe.precision));
    }
    let mut rows = vec![
        ("cache", path.display_escaped()),
        ("key", header.key.clone()),
        (
            "encoder",
            format!(
                "{} ({} px in, masks of {} px)",
                recipe.encoder.name,
                recipe.spec.input_side,
                recipe.spec.mask_side()
            ),
        ),
        ("weights", weights_text(&recipe.encoder.weights_blake3, has_weights)),
        ("features", features),
        ("labels", labels_text(&cache)?),
        ("slices", format!("{} stored, {labelled} with ground truth", cache.slices().len())),
        ("cases", cache.cases().len().to_string()),
    ];
    rows.extend(header.views.as_ref().map(|rule| ("views", rule.to_string())));
    let mut table = Vec::new();
    for site in &sites {
        let cases = cache.site_cases(site);
        let slices: usize = cases.iter().map(|&c| cache.case_slices(c).len()).sum();
        let views = cases.first().map_or(Ok(0), |&case| cache.views(case))?;
        let and_views = match views {
            0 => String::new(),
            views => format!(", {views} views of each"),
        };
        rows.push(("site", format!("{site}: {} cases, {slices} slices{and_views}", cases.len())));
        let site = json!({ "site": site, "cases": cases.len(), "slices": slices, "views": views });
        table.push(site);
    }
    rows.push(("data", header.data_root.display_escaped()));
    rows.push(("size", human_bytes(size)));
    if let Some(coverage) = verified {
        let text = match coverage {
            WeightsCoverage::Whole => "correct, including all weights",
            _ => "correct; of the weights, only the image encoder's have a recorded checksum",
        };
        rows.push(("checksums", text.to_owned()));
    }
    let json = json!({
        "kind": "cache",
        "path": json_path(path),
        "key": header.key,
        "recipe": recipe,
        "views": header.views,
        "data_root": json_path(&header.data_root),
        "cases": cache.cases().len(),
        "slices": cache.slices().len(),
        "labelled_slices": labelled,
        "label_values": cache.label_values(&all_cases(&cache))?,
        "sites": table,
        "bytes": size,
        "weights_file": has_weights,
        "verified": verify,
    });
    Ok(Output::new(aligned(&rows), json))
}

/// The cases of a cache, as indices.
fn all_cases(cache: &FeatureCache) -> Vec<usize> {
    (0..cache.cases().len()).collect()
}

/// The labels in the masks, and how they got there.
fn labels_text(cache: &FeatureCache) -> anyhow::Result<String> {
    let rule = cache.header().recipe.preprocess.labels;
    let values = match cache.label_values(&all_cases(cache))? {
        None => "merged into one foreground".to_owned(),
        Some(values) if values.is_empty() => "none".to_owned(),
        Some(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    Ok(format!("{values}; resized to masks by the rule {rule}"))
}

/// Hash of the weights, with a note if their file is missing.
fn weights_text(hash: &str, is_there: bool) -> String {
    if is_there {
        format!("blake3 {hash}")
    } else {
        format!("blake3 {hash}; {WEIGHTS_FILE} is missing: run embed again")
    }
}

/// Total size in bytes of the files in a folder, recursively. Links are not followed.
fn folder_bytes(path: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let list = || format!("cannot list {}", folder.display_escaped());
        for entry in std::fs::read_dir(&folder).with_context(list)? {
            let entry = entry.with_context(list)?;
            let kind = entry.file_type().with_context(list)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                sum += entry.metadata().with_context(list)?.len();
            }
        }
    }
    Ok(sum)
}
