//! Which sites of a sweep are the paper's, on the command line.

use clap::Args;
use desam_study::sweep::{NamedSite, PaperSites};

#[derive(Debug, Args)]
pub(super) struct PaperFlag {
    /// These sites are the paper's: its figures stand beside theirs. Which is which, such as
    /// RUNMC=A,BMC=B; or, without a value, all of them by the names of public
    /// releases or by the letters A to F
    #[arg(long, value_name = "SITE=LETTER", value_delimiter = ',', num_args = 0..=1)]
    paper_sites: Option<Vec<NamedSite>>,
}

impl PaperFlag {
    /// What the flag says; `None` where it is not given.
    pub(super) fn sites(&self) -> Option<PaperSites> {
        let named = self.paper_sites.as_ref()?;
        Some(match named.is_empty() {
            true => PaperSites::ByName,
            false => PaperSites::Listed(named.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        paper: PaperFlag,
        #[arg(long)]
        seeds: Option<u64>,
    }

    #[test]
    fn the_flag_takes_a_mapping_or_nothing() {
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
