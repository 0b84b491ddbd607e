//! Paths within a cache, and valid names of sites and cases.

use super::FeatureFile;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Whether `name` is one component of a path on any system, and not a hidden one.
pub(crate) fn is_plain_name(name: &str) -> bool {
    case_name_problem(name).is_none()
}

/// The problem with a case's name; `None` for a valid one.
pub(crate) fn case_name_problem(name: &str) -> Option<&'static str> {
    let reserved = |c: char| r#"/\:*?"<>|"#.contains(c);
    if name.is_empty() {
        Some("is empty")
    } else if name.starts_with('.') {
        Some("begins with a dot")
    } else if name.chars().any(char::is_control) {
        Some("holds a control character")
    } else if name.chars().any(reserved) {
        Some(r#"holds one of / \ : * ? " < > |"#)
    } else {
        None
    }
}

/// The problem with a site's name; `None` for a valid one.
pub(crate) fn site_name_problem(name: &str) -> Option<&'static str> {
    let comma = name.contains(',').then_some("holds a comma, which separates sites in a list");
    case_name_problem(name).or(comma)
}

/// An error for a site or a case that cannot be called so.
pub(crate) fn check_names(site: &str, id: &str) -> Result<()> {
    let (site, id) = (site.to_owned(), id.to_owned());
    if let Some(problem) = site_name_problem(&site) {
        return Err(Error::SiteName { site, problem });
    }
    match case_name_problem(&id) {
        Some(problem) => Err(Error::CaseName { site, id, problem }),
        None => Ok(()),
    }
}

/// The files of one cache.
#[derive(Debug, Clone)]
pub(crate) struct CachePaths {
    dir: PathBuf,
}

impl CachePaths {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn header(&self) -> PathBuf {
        self.dir.join("cache.json")
    }

    /// The folder in which parts of a run leave their notes until all are done.
    pub(crate) fn parts(&self) -> PathBuf {
        self.dir.join("parts")
    }

    pub(crate) fn part(&self, index: usize, of: usize) -> PathBuf {
        self.parts().join(format!("{index}-of-{of}.json"))
    }

    pub(crate) fn case(&self, site: &str, id: &str) -> PathBuf {
        self.dir.join("cases").join(site).join(format!("{id}.safetensors"))
    }

    pub(crate) fn features(&self, site: &str, id: &str, file: FeatureFile) -> PathBuf {
        let name = match file {
            FeatureFile { z, view: 0 } => format!("z{z:04}.safetensors"),
            FeatureFile { z, view } => format!("z{z:04}.view{view}.safetensors"),
        };
        self.dir.join("features").join(site).join(id).join(name)
    }
}

/// Makes the folder that `path` will lie in.
pub(crate) fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(Error::io("create", parent)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_can_be_listed() {
        for (site, word) in [("A,B", "comma"), ("A\u{1b}[31m", "control"), ("", "empty")] {
            let message = check_names(site, "Case00").unwrap_err().to_string();
            assert!(message.contains(word) && !message.contains('\u{1b}'), "{message}");
        }
        let message = check_names("A", "a\nb").unwrap_err().to_string();
        assert!(message.contains("control") && !message.contains('\n'), "{message}");
        assert!(check_names("A-ISBI_1.5", "Case 1, left").is_ok());
    }

    #[test]
    fn names_cannot_leave_the_cache() {
        for good in ["A", "Case00", "A-ISBI_1.5", "patient 3", "Prostata-Fall-ü"] {
            assert!(is_plain_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "c:", "a\0b", "new\nline"] {
            assert!(!is_plain_name(bad), "{bad:?}");
        }
    }
}
