//! A data set.

use super::{Session, aligned, folder};
use crate::commands::json_path;
use crate::reply::Reply;
use anyhow::Context;
use desam::Progress;
use desam::data::layout::{Layout, unused_series};
use desam::types::text::DisplayPath as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn describe(path: &Path, session: &Session) -> anyhow::Result<Reply> {
    let layout = Layout::of(path)?;
    let cases = layout.cases(path).with_context(|| {
        let volumes = if path.is_dir() { folder::others(path) } else { Ok(Vec::new()) };
        let volumes = volumes.unwrap_or_default();
        let holds = match volumes.len() {
            0 => String::new(),
            _ => format!(", and it holds volumes: describe one of {}", folder::list(&volumes)),
        };
        format!(
            "{} is neither a feature cache (it holds no cache.json) nor a run (no config.json){holds}",
            path.display_escaped()
        )
    })?;
    if let Some(warning) = unused_series(path, layout, &cases)? {
        session.screen.warn(&warning);
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
    Ok(Reply::new(aligned(&rows), json))
}
