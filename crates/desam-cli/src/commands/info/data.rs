//! A data set.

use super::aligned;
use crate::commands::json_path;
use crate::reply::Reply;
use anyhow::Context;
use desam::core::text::DisplayPath as _;
use desam::data::layout::Layout;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn describe(path: &Path) -> anyhow::Result<Reply> {
    let layout = Layout::of(path)?;
    let cases = layout.cases(path).with_context(|| {
        format!(
            "{} is neither a feature cache (it holds no cache.json) nor a run (no config.json)",
            path.display_escaped()
        )
    })?;
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
    Ok(Reply::new(aligned(&rows), json))
}
