//! `--paper-sites`: which sites of a sweep are the paper's.

use clap::Args;
use desam_study::sweep::{NamedSite, PaperSites};

/// The flag, shared by `plan` and `collect`.
#[derive(Debug, Args)]
pub(super) struct PaperSitesFlag {
    /// Show the paper's scores next to ours for these sites, given as SITE=LETTER pairs such as
    /// RUNMC=A,BMC=B. Without a value: all sites, mapped by the names of public releases or the
    /// letters A to F
    #[arg(long, value_name = "SITE=LETTER", value_delimiter = ',', num_args = 0..=1)]
    paper_sites: Option<Vec<NamedSite>>,
}

impl PaperSitesFlag {
    /// Value of the flag; `None` if it is not given.
    pub(super) fn sites(&self) -> Option<PaperSites> {
        let named = self.paper_sites.as_ref()?;
        Some(if named.is_empty() { PaperSites::ByName } else { PaperSites::Listed(named.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        paper: PaperSitesFlag,
        #[arg(long)]
        seeds: Option<u64>,
    }

    #[test]
    fn the_flag_takes_a_mapping_or_no_value() {
        let of = |words: &[&str]| {
            Flags::try_parse_from(["desam"].iter().chain(words)).map(|f| f.paper.sites())
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&["--paper-sites"]).unwrap(), Some(PaperSites::ByName));
        assert_eq!(of(&["--paper-sites", "--seeds", "1"]).unwrap(), Some(PaperSites::ByName));
        let Some(PaperSites::Listed(named)) = of(&["--paper-sites", "x=A,y=B"]).unwrap() else {
            panic!("no mapping")
        };
        assert_eq!(named.iter().map(|n| n.site.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert!(of(&["--paper-sites", "A=Nijmegen"]).is_err());
    }
}
