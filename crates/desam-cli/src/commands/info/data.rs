//! Description of a data set.

use super::{Session, aligned, other_volumes};
use crate::commands::json_path;
use crate::output::Output;
use anyhow::Context;
use desam::Progress;
use desam::data::layout::{Layout, unused_series};
use desam::types::text::DisplayPath as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn describe(path: &Path, session: &Session) -> anyhow::Result<Output> {
    let layout = Layout::of(path)?;
    let cases = layout.cases(path).with_context(|| {
        let volumes = if path.is_dir() { other_volumes::find(path) } else { Ok(Vec::new()) };
        let volumes = volumes.unwrap_or_default();
        let contains = if volumes.is_empty() {
            String::new()
        } else {
            format!(". It contains volumes: use one of {}", other_volumes::list(&volumes))
        };
        format!(
            "{} is neither a feature cache (no cache.json) nor a run (no config.json){contains}",
            path.display_escaped()
        )
    })?;
    if let Some(warning) = unused_series(path, layout, &cases)? {
        session.terminal.warn(&warning);
    }
    let mut sites: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in &cases {
        sites.entry(&case.site).or_default().push(&case.id);
    }
    let mut rows = vec![
        ("data", path.display_escaped()),
        ("layout", layout.to_string()),
        ("cases", cases.len().to_string()),
    ];
    rows.extend(sites.iter().map(|(site, ids)| (*site, format!("{} cases", ids.len()))));
    let json = json!({ "kind": "data", "path": json_path(path), "layout": layout, "cases": cases.len(), "sites": sites });
    Ok(Output::new(aligned(&rows), json))
}
