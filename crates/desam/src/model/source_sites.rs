//! Source sites: the hospitals that a model is trained on.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The sites that a model is trained on: one (single-source domain generalisation, the paper's
/// setting) or several.
///
/// In JSON one site is a string, as in files from before there could be several; several are a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OneOrMany", into = "OneOrMany")]
pub struct SourceSites(Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl SourceSites {
    /// Several sites, each once, in this order.
    ///
    /// # Errors
    /// [`Error::SourceSites`] without a site, or when one is named twice.
    pub fn new(names: Vec<String>) -> Result<Self> {
        let twice = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name));
        match (names.is_empty(), twice) {
            (true, _) => Err(Error::SourceSites { reason: "no site is named".into() }),
            (_, Some((_, name))) => {
                Err(Error::SourceSites { reason: format!("site {name} is named twice") })
            }
            _ => Ok(Self(names)),
        }
    }

    /// The names of the sites; there is at least one.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The site, where there is only one.
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Whether a site is among them.
    pub fn contains(&self, site: &str) -> bool {
        self.0.iter().any(|name| name == site)
    }

    /// The name of a case in manifests: the case's own where there is one site, else `SITE/CASE`, since
    /// two sites may number their cases alike.
    pub fn case_name(&self, site: &str, case: &str) -> String {
        match self.single() {
            Some(_) => case.to_owned(),
            None => format!("{site}/{case}"),
        }
    }
}

impl From<&str> for SourceSites {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl From<String> for SourceSites {
    fn from(name: String) -> Self {
        Self(vec![name])
    }
}

impl From<&String> for SourceSites {
    fn from(name: &String) -> Self {
        Self::from(name.as_str())
    }
}

impl TryFrom<OneOrMany> for SourceSites {
    type Error = Error;

    fn try_from(names: OneOrMany) -> Result<Self> {
        match names {
            OneOrMany::One(name) => Ok(name.into()),
            OneOrMany::Many(names) => Self::new(names),
        }
    }
}

impl From<SourceSites> for OneOrMany {
    fn from(SourceSites(mut names): SourceSites) -> Self {
        match names.pop() {
            Some(only) if names.is_empty() => Self::One(only),
            last => Self::Many(names.into_iter().chain(last).collect()),
        }
    }
}

/// `A`, or `A, B and C`.
impl fmt::Display for SourceSites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_last() {
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(names: &[&str]) -> Result<SourceSites> {
        SourceSites::new(names.iter().map(|&n| n.to_owned()).collect())
    }

    #[test]
    fn one_site_is_a_string_in_json_and_several_are_a_list() {
        for (names, json) in [
            (vec!["A"], r#""A""#),
            (vec!["A", "B"], r#"["A","B"]"#),
            (vec!["C", "A", "B"], r#"["C","A","B"]"#),
        ] {
            let sites = sites(&names).unwrap();
            assert_eq!(serde_json::to_string(&sites).unwrap(), json);
            assert_eq!(serde_json::from_str::<SourceSites>(json).unwrap(), sites);
        }
        assert_eq!(serde_json::from_str::<SourceSites>(r#"["A"]"#).unwrap(), "A".into());
        for bad in ["[]", r#"["A","A"]"#, "3"] {
            assert!(serde_json::from_str::<SourceSites>(bad).is_err(), "{bad}");
        }
        assert!(sites(&[]).is_err());
        assert!(sites(&["A", "B", "A"]).unwrap_err().to_string().contains("A is named twice"));
    }

    #[test]
    fn cases_of_several_sites_carry_their_site() {
        let (one, two) = (sites(&["A"]).unwrap(), sites(&["A", "B"]).unwrap());
        assert_eq!((one.case_name("A", "Case00"), one.to_string()), ("Case00".into(), "A".into()));
        assert_eq!(two.case_name("B", "Case00"), "B/Case00");
        assert_eq!(two.to_string(), "A and B");
        assert_eq!(sites(&["A", "B", "C"]).unwrap().to_string(), "A, B and C");
        assert!(two.contains("B") && !two.contains("C") && two.single().is_none());
    }
}
