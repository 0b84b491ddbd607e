//! Which site of a data set is which of the paper's A to F.

use crate::{Error, Result};
use desam_core::text::did_you_mean;
use serde::{Deserialize, Serialize};

/// A site by the paper's letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Letter {
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

impl Letter {
    /// The paper's columns.
    pub const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F];

    /// Its column, from 0.
    pub fn column(self) -> usize {
        self as usize
    }

    /// Names that its folder has in data sets in the wild, in small letters, and the letter itself.
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

impl std::fmt::Display for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::str::FromStr for Letter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|l| l.to_string() == text);
        found.ok_or_else(|| format!("site {text:?}: expected a letter from A to F"))
    }
}

/// A letter and the site that has it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSite {
    /// The paper's letter.
    pub letter: Letter,
    /// The site, as the cache names it.
    pub site: String,
}

/// `A=RUNMC`.
impl std::str::FromStr for NamedSite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((letter, site)) = text.split_once('=').filter(|(_, site)| !site.is_empty()) else {
            return Err(format!("{text:?}: expected LETTER=SITE, such as A=RUNMC"));
        };
        Ok(Self { letter: letter.parse()?, site: site.to_owned() })
    }
}

/// Finds the paper's sites among those of a cache: as `asked` names them, or else by the names that
/// their folders have in the wild. Comes by letter; sites of no letter are left out.
///
/// # Errors
/// When a site that is asked for is not there or has two letters, two sites are known by one letter,
/// or none has any.
pub(super) fn name_sites(cache: &[&str], asked: Option<&[NamedSite]>) -> Result<Vec<NamedSite>> {
    let known = cache.join(", ");
    let refuse =
        |what: String| Err(Error::Invalid(format!("sites: {what}; the cache has {known}")));
    let mut named: Vec<NamedSite> = match asked {
        Some(asked) => asked.to_vec(),
        None => {
            let letters = |site: &str| Letter::ALL.into_iter().find(|l| l.is_named(site));
            let found = cache.iter().filter_map(|&site| {
                Some(NamedSite { letter: letters(site)?, site: site.to_owned() })
            });
            found.collect()
        }
    };
    named.sort_by_key(|n| n.letter);
    if let Some(lost) = named.iter().find(|n| !cache.contains(&n.site.as_str())) {
        let meant = did_you_mean(&lost.site, cache.iter().copied());
        return refuse(format!("there is no {}{meant}", lost.site));
    }
    for pair in named.windows(2) {
        if let [first, second] = pair
            && first.letter == second.letter
        {
            let (one, two) = (&first.site, &second.site);
            return refuse(format!("{one} and {two} are both {}", first.letter));
        }
    }
    for (n, one) in named.iter().enumerate() {
        if let Some(other) = named.iter().skip(n + 1).find(|o| o.site == one.site) {
            return refuse(format!("{} is both {} and {}", one.site, one.letter, other.letter));
        }
    }
    if named.is_empty() {
        return refuse("none is known as one of the paper's; name them, such as A=RUNMC".into());
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(cache: &[&str], asked: Option<&[&str]>) -> Result<String, String> {
        let asked = asked.map(|a| a.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>());
        let named = name_sites(cache, asked.as_deref()).map_err(|e| e.to_string())?;
        Ok(named.iter().map(|n| format!("{}={}", n.letter, n.site)).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn folders_in_the_wild_are_known() {
        // The SAML release's folders, MaxStyle's, and the phantoms'.
        let saml = ["BIDMC", "BMC", "HK", "I2CVB", "RUNMC", "UCL"];
        assert_eq!(letters(&saml, None).unwrap(), "A=RUNMC B=BMC C=I2CVB D=UCL E=BIDMC F=HK");
        let max_style = ["A-ISBI", "B-ISBI_1.5", "C-I2CVB", "D-UCL", "E-BIDMC", "F-HK"];
        let found = letters(&max_style, None).unwrap();
        assert!(found.starts_with("A=A-ISBI B=B-ISBI_1.5") && found.ends_with("F=F-HK"), "{found}");
        assert_eq!(letters(&["C", "A", "elsewhere"], None).unwrap(), "A=A C=C");
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let fails = |cache: &[&str], asked: Option<&[&str]>, word: &str| {
            let message = letters(cache, asked).unwrap_err();
            assert!(message.contains(word), "{message}");
        };
        fails(&["x", "y"], None, "name them");
        fails(&["BMC", "B"], None, "both B");
        fails(&["BMC"], Some(&["A=RUNMC"]), "no RUNMC");
        fails(&["x"], Some(&["A=x", "B=x"]), "both A and B");
        assert_eq!(letters(&["x", "y"], Some(&["B=x", "A=y"])).unwrap(), "A=y B=x");
        for text in ["A", "A=", "G=x", "=x"] {
            assert!(text.parse::<NamedSite>().is_err(), "{text}");
        }
    }
}
