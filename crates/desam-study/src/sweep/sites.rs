//! The sites of a sweep, and their mapping to the paper's sites A to F.

use crate::{Error, Result};
use desam_core::text::did_you_mean;
use serde::{Deserialize, Serialize};

/// The paper's letter of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PaperLetter {
    /// RUNMC.
    A,
    /// BMC.
    B,
    /// I2CVB, also called HCRUDB.
    C,
    /// UCL.
    D,
    /// BIDMC.
    E,
    /// HK.
    F,
}

impl PaperLetter {
    /// All letters, in the order of the paper's columns.
    pub const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F];

    /// Index of its column, from 0.
    pub fn column(self) -> usize {
        self as usize
    }

    /// Folder names of the site in public releases, in lower case, and the letter itself.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::A => &["a", "runmc", "isbi", "a-isbi"],
            Self::B => &["b", "bmc", "isbi_1.5", "b-isbi_1.5"],
            Self::C => &["c", "i2cvb", "hcrudb", "c-i2cvb"],
            Self::D => &["d", "ucl", "d-ucl"],
            Self::E => &["e", "bidmc", "e-bidmc"],
            Self::F => &["f", "hk", "f-hk"],
        }
    }

    fn is_named(self, folder: &str) -> bool {
        self.names().contains(&folder.to_lowercase().as_str())
    }
}

impl std::fmt::Display for PaperLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::str::FromStr for PaperLetter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|l| l.to_string() == text);
        found.ok_or_else(|| format!("site {text:?}: expected a letter from A to F"))
    }
}

/// A site that the user identifies as one of the paper's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSite {
    /// The site, as the cache names it.
    pub site: String,
    /// The paper's letter.
    pub letter: PaperLetter,
}

/// Parses `RUNMC=A`.
impl std::str::FromStr for NamedSite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((site, letter)) = text.rsplit_once('=').filter(|(site, _)| !site.is_empty())
        else {
            return Err(format!("{text:?}: expected SITE=LETTER, such as RUNMC=A"));
        };
        Ok(Self { site: site.to_owned(), letter: letter.parse()? })
    }
}

/// The sites of a sweep that are the paper's. Only for these are the paper's figures shown: a folder name
/// alone is not evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PaperSites {
    /// None.
    #[default]
    None,
    /// All of them, identified by their folder names in public releases.
    ByName,
    /// The listed ones.
    Listed(Vec<NamedSite>),
}

impl PaperSites {
    /// The letters of `sites`; `None` for a site that is not one of the paper's.
    ///
    /// # Errors
    /// When a listed site does not exist, a site has two letters or a letter two sites, or, by name, a site
    /// has no known name.
    pub(super) fn letters(&self, sites: &[&str]) -> Result<Vec<Option<PaperLetter>>> {
        let refuse = |what: String| {
            Err(Error::Invalid(format!(
                "the paper's sites: {what}; there are {}",
                sites.join(", ")
            )))
        };
        let by_name = |site: &str| PaperLetter::ALL.into_iter().find(|l| l.is_named(site));
        let letters: Vec<Option<PaperLetter>> = match self {
            Self::None => vec![None; sites.len()],
            Self::ByName => {
                if let Some(unknown) = sites.iter().find(|site| by_name(site).is_none()) {
                    return refuse(format!(
                        "{unknown} has none of the names that they have in public releases; say \
                         which is which, such as RUNMC=A"
                    ));
                }
                sites.iter().map(|site| by_name(site)).collect()
            }
            Self::Listed(named) => {
                if let Some(lost) = named.iter().find(|n| !sites.contains(&n.site.as_str())) {
                    let meant = did_you_mean(&lost.site, sites.iter().copied());
                    return refuse(format!("there is no {}{meant}", lost.site));
                }
                for (n, one) in named.iter().enumerate() {
                    if let Some(other) = named.iter().skip(n + 1).find(|o| o.site == one.site) {
                        let (first, second) = (one.letter, other.letter);
                        return refuse(format!("{} is both {first} and {second}", one.site));
                    }
                }
                let letter =
                    |site: &&str| named.iter().find(|n| n.site == **site).map(|n| n.letter);
                sites.iter().map(letter).collect()
            }
        };
        for (n, letter) in letters.iter().enumerate() {
            let earlier = letters.iter().take(n).position(|l| l.is_some() && l == letter);
            if let (Some(first), Some(letter)) = (earlier, letter) {
                return refuse(format!("{} and {} are both {letter}", sites[first], sites[n]));
            }
        }
        Ok(letters)
    }
}

/// Longest part of a site's name in a directory name, in characters.
const MAX_SLUG: usize = 48;

/// A name for each site that is safe in a directory name: ASCII letters, digits, `-` and `_`, with other
/// characters replaced by `_`; distinct even on case-insensitive file systems.
pub(super) fn slugs(sites: &[&str]) -> Vec<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let mut slugs: Vec<String> = Vec::new();
    for site in sites {
        let own: String = site.chars().take(MAX_SLUG).map(plain).collect();
        let taken = |name: &str| slugs.iter().any(|s| s.eq_ignore_ascii_case(name));
        let numbered = (2..).map(|n| format!("{own}_{n}"));
        let mut names = std::iter::once(own.clone()).chain(numbered);
        slugs.push(names.find(|name| !taken(name)).unwrap_or(own));
    }
    slugs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(sites: &[&str], paper: &PaperSites) -> Result<String, String> {
        let letters = paper.letters(sites).map_err(|e| e.to_string())?;
        let shown = |l: Option<PaperLetter>| l.map_or_else(|| "-".to_owned(), |l| l.to_string());
        Ok(letters.into_iter().map(shown).collect())
    }

    fn listed(named: &[&str]) -> PaperSites {
        PaperSites::Listed(named.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_name_alone_does_not_make_a_site_the_papers() {
        assert_eq!(letters(&["A", "B", "RUNMC"], &PaperSites::None).unwrap(), "---");
        assert_eq!(PaperSites::default(), PaperSites::None);
    }

    #[test]
    fn names_of_public_releases_are_known_where_the_user_says_so() {
        // The SAML release's folders, MaxStyle's, and the phantoms'.
        let saml = ["BIDMC", "BMC", "HK", "I2CVB", "RUNMC", "UCL"];
        assert_eq!(letters(&saml, &PaperSites::ByName).unwrap(), "EBFCAD");
        let max_style = ["A-ISBI", "B-ISBI_1.5", "C-I2CVB", "D-UCL", "E-BIDMC", "F-HK"];
        assert_eq!(letters(&max_style, &PaperSites::ByName).unwrap(), "ABCDEF");
        assert_eq!(letters(&["C", "A"], &PaperSites::ByName).unwrap(), "CA");
        let message = letters(&["A", "elsewhere"], &PaperSites::ByName).unwrap_err();
        assert!(message.contains("elsewhere") && message.contains("RUNMC=A"), "{message}");
        let message = letters(&["BMC", "B"], &PaperSites::ByName).unwrap_err();
        assert!(message.contains("BMC and B are both B"), "{message}");
    }

    #[test]
    fn a_mapping_says_which_is_which() {
        assert_eq!(letters(&["x", "y", "z"], &listed(&["x=B", "y=A"])).unwrap(), "BA-");
        for (named, word) in [
            (&["RUNMC=A"][..], "no RUNMC"),
            (&["x=A", "x=B"], "x is both A and B"),
            (&["x=A", "y=A"], "x and y are both A"),
        ] {
            let message = letters(&["x", "y"], &listed(named)).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
        for text in ["A", "=A", "x=G", "x=", "A=RUNMC"] {
            assert!(text.parse::<NamedSite>().is_err(), "{text}");
        }
        // A site's own name may hold the sign.
        let odd: NamedSite = "a=b=C".parse().unwrap();
        assert_eq!((odd.site.as_str(), odd.letter), ("a=b", PaperLetter::C));
    }

    #[test]
    fn every_site_has_a_distinct_plain_name() {
        let long = "x".repeat(200);
        let sites = ["B-ISBI_1.5", "b-isbi_1_5", "Zürich", "Z rich", "../..", &long, "A"];
        let slugs = slugs(&sites);
        assert_eq!(slugs[..5], ["B-ISBI_1_5", "b-isbi_1_5_2", "Z_rich", "Z_rich_2", "_____"]);
        assert_eq!((slugs[5].len(), slugs[6].as_str()), (MAX_SLUG, "A"));
    }
}
