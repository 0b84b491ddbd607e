//! Selection of the cases to score, with their roles.

use super::{EvaluateConfig, Role};
use crate::{Error, Result};
use desam::model::SourceSites;
use desam_data::cache::FeatureCache;

/// A case to score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlannedCase {
    /// Index into the cache's cases.
    pub(super) case: usize,
    pub(super) role: Role,
}

/// The cases to score, site by site in the cache's order: of the source sites only those held out from
/// training, of the other sites all.
pub(super) fn plan_cases(
    cache: &FeatureCache,
    config: &EvaluateConfig,
    source: &SourceSites,
    validation: &[String],
) -> Result<Vec<PlannedCase>> {
    let sites = select_sites(&cache.sites(), config.sites.as_deref())?;
    let mut planned = Vec::new();
    for site in sites {
        let cases = cache.site_cases(&site);
        if !source.contains(&site) {
            planned.extend(cases.into_iter().map(|case| PlannedCase { case, role: Role::Target }));
            continue;
        }
        let name = |case: &usize| cache.cases().get(*case).map(|c| source.case_name(&site, &c.id));
        let of_site = |v: &&String| source.single().is_some() || v.starts_with(&format!("{site}/"));
        let held_out = || validation.iter().filter(of_site);
        if let Some(lost) = held_out().find(|v| !cases.iter().any(|c| name(c).as_ref() == Some(v)))
        {
            let (case, cache) = (lost.clone(), cache.dir().to_owned());
            return Err(Error::HeldOutCaseMissing { site, case, cache });
        }
        let scored = cases.iter().filter(|c| held_out().any(|v| name(c).as_ref() == Some(v)));
        planned.extend(scored.map(|&case| PlannedCase { case, role: Role::SourceValidation }));
    }
    if planned.is_empty() {
        return Err(Error::NothingToScore { source_sites: source.clone() });
    }
    Ok(planned)
}

/// The requested sites, in the order of `all`.
fn select_sites(all: &[&str], requested: Option<&[String]>) -> Result<Vec<String>> {
    let Some(requested) = requested else {
        return Ok(all.iter().map(|&s| s.to_owned()).collect());
    };
    if let Some(unknown) = requested.iter().find(|a| !all.contains(&a.as_str())) {
        return Err(Error::unknown_site(unknown, all));
    }
    let wanted = all.iter().filter(|s| requested.iter().any(|a| a == *s));
    Ok(wanted.map(|&s| s.to_owned()).collect())
}
