//! `--source`: the sites to train on.

use crate::usage::{invalid, usage};
use clap::Args;
use desam::data::cache::FeatureCache;
use desam::model::SourceSites;
use std::path::Path;

/// The words that take all sites, or all but some.
const ALL: &str = "all";
const ALL_BUT: &str = "all-but";

/// The flag `--source`.
#[derive(Debug, Args)]
pub(super) struct SourceFlag {
    /// Site to train on, by the name of its folder; several as A,B,C; or all, or all-but F: the sites
    /// of CACHE without F. Several sites give an epoch the same number of slices each
    #[arg(long, value_name = "SITES", num_args = 1..=2, required = true)]
    source: Vec<String>,
}

impl SourceFlag {
    /// The sites, which are looked up in the cache unless it is a single name.
    pub(super) fn sites(&self, cache: &Path) -> anyhow::Result<SourceSites> {
        match self.source.as_slice() {
            [one] if one != ALL && !one.contains(',') => Ok(one.into()),
            words => choose(words, &FeatureCache::open(cache)?.sites()),
        }
    }
}

/// The sites of `all` that `words` choose.
fn choose(words: &[String], all: &[&str]) -> anyhow::Result<SourceSites> {
    let list = |text: &str| -> Vec<String> {
        // A folder may have a comma in its name.
        if all.contains(&text) {
            return vec![text.to_owned()];
        }
        text.split(',').map(|name| name.trim().to_owned()).collect()
    };
    let every = || all.iter().map(|&site| site.to_owned());
    let names = match words {
        [word] if word == ALL && !all.contains(&ALL) => every().collect(),
        [names] => list(names),
        [word, names] if word == ALL_BUT => {
            let without = list(names);
            if let Some(lost) = without.iter().find(|name| !all.contains(&name.as_str())) {
                return Err(usage(format!(
                    "--source {ALL_BUT} {lost}: the cache has no such site, but {}",
                    all.join(", ")
                )));
            }
            every().filter(|site| !without.contains(site)).collect()
        }
        other => {
            return Err(usage(format!(
                "--source {}: expected one name, several as A,B, or `{ALL_BUT} F`",
                other.join(" ")
            )));
        }
    };
    SourceSites::new(names).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_named_listed_or_left_out() {
        let all = ["A", "B", "C", "D,E"];
        let chosen = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&w| w.to_owned()).collect();
            choose(&words, &all).map(|sites| sites.names().to_vec()).map_err(|e| e.to_string())
        };
        assert_eq!(chosen(&["B"]).unwrap(), ["B"]);
        assert_eq!(chosen(&["C, A"]).unwrap(), ["C", "A"]);
        assert_eq!(chosen(&["D,E"]).unwrap(), ["D,E"]);
        assert_eq!(chosen(&["all"]).unwrap(), all);
        assert_eq!(chosen(&["all-but", "B"]).unwrap(), ["A", "C", "D,E"]);
        assert_eq!(chosen(&["all-but", "A,B"]).unwrap(), ["C", "D,E"]);
        for (words, expected) in [
            (vec!["all-but", "X"], "no such site"),
            (vec!["A", "B"], "expected one name"),
            (vec!["A,A"], "named twice"),
        ] {
            let error = chosen(&words).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
