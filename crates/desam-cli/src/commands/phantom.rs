//! `desam phantom`: a synthetic data set.

use super::output_files::ForceFlag;
use super::values::{integer, seed};
use super::{Session, aligned, json_path};
use crate::commands::flags::JsonFlag;
use crate::output::Output;
use clap::Args;
use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::types::text::path_for_people;
use serde_json::json;
use std::path::PathBuf;

/// Write a synthetic data set: phantom prostates of six sites
///
/// Each site has its own voxel spacing, contrast, bias field, noise and field of view, so that a model
/// trained on one site is worse on another. The layout is that of real data: SITE/CaseXX.nii.gz and
/// SITE/CaseXX_segmentation.nii.gz. The same seed writes the same bytes. Phantoms are not patients:
/// scores on them say nothing about patients.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  desam phantom --out phantoms --cases-per-site 4 --seed 1")]
pub(crate) struct Arguments {
    /// Folder to write the six sites to; created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Number of cases at each site, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 6, allow_negative_numbers = true,
        value_parser = integer(1..=1000))]
    cases_per_site: usize,

    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
        value_parser = seed)]
    seed: u64,

    #[command(flatten)]
    force: ForceFlag,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let config = PhantomConfig {
        cases_per_site: arguments.cases_per_site,
        seed: arguments.seed,
        sites: SiteStyle::six_sites(),
    };
    arguments.force.check(config.files(&arguments.out))?;
    let cases = write_phantoms(&arguments.out, &config, &session.terminal)?;
    let mut sites: Vec<&str> = cases.iter().map(|c| c.site.as_str()).collect();
    sites.dedup();
    let text = aligned(&[
        ("written to", path_for_people(&arguments.out)),
        ("sites", sites.join(", ")),
        ("cases", format!("{}, {} at each site", cases.len(), config.cases_per_site)),
        ("note", "these are phantoms, not patients".to_owned()),
    ]);
    let json = json!({
        "out": json_path(&arguments.out),
        "sites": sites,
        "cases_per_site": config.cases_per_site,
        "cases": cases.len(),
        "seed": config.seed,
        "phantom": true,
    });
    Ok(Output::new(text, json))
}
