//! Verification that a data set is fit for training, case by case.

mod case;
mod masks;
mod report;
#[cfg(test)]
mod tests;

pub use masks::{MAX_BORDER_CUT, MaskCheck, SiteMasks, VerifyOptions};
pub use report::{CaseReport, SiteReport, VerifyReport};

use crate::Result;
use crate::cache::check_names;
use crate::layout::{Layout, unused_series};
use desam_core::Progress;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads every case of a data set and reports its contents and faults. One case is held in memory
/// at a time.
///
/// Errors are faults that would make training or scoring wrong: a file that cannot be read, labels
/// on another grid than their image, an image that is a label or the other way round, an image that
/// is flat or has non-finite voxels, a label without foreground, the same image twice, a name that
/// cannot name a file of the cache, no label at all; and every fault of the layout, such as an
/// image without a label. Warnings are oddities. The report has, site by site, the loss of the
/// labels in the round trip and the foreground that the border of the paper's protocol cuts off;
/// much of either is a warning.
///
/// # Errors
/// As [`Layout::survey`], when no case is found at all. Faults of a case or of the layout are in
/// the report.
pub fn verify(data: &Path, progress: &dyn Progress) -> Result<VerifyReport> {
    verify_with(data, &VerifyOptions::default(), progress)
}

/// The same for another preprocessing and other masks than the default ones.
///
/// # Errors
/// As [`verify`], and when the preprocessing makes no sense.
pub fn verify_with(
    data: &Path,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<VerifyReport> {
    options.preprocess.validate()?;
    let layout = Layout::of_with(data, &options.read)?;
    let survey = layout.survey_with(data, &options.read)?;
    let mut layout_errors: Vec<String> = survey.problems.iter().map(ToString::to_string).collect();
    let found = survey.cases;
    if !found.is_empty() && found.iter().all(|case| case.label.is_none()) {
        layout_errors.push("no case has a label: there is nothing to train on".into());
    }
    progress.begin("verifying", found.len() as u64);
    let mut cases = Vec::with_capacity(found.len());
    let mut contents: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, case) in found.iter().enumerate() {
        let read = case::examine(case, options, progress);
        let mut report = read.report;
        if let Err(error) = check_names(&case.site, &case.id) {
            report.errors.push(error.to_string());
        }
        if let Some(content) = read.content {
            contents.entry(content).or_default().push(index);
        }
        cases.push(report);
        progress.advance(1, &format!("{}/{}", case.site, case.id));
    }
    name_twins(&mut cases, contents.into_values());
    let sites = report::sites(&cases);
    let masks = masks::by_site(&cases);
    let mut warnings = report::warnings(&sites);
    match unused_series(data, layout, &found) {
        Ok(unused) => warnings.extend(unused),
        // A folder that cannot be listed may be known already.
        Err(error) if layout_errors.contains(&error.to_string()) => {}
        Err(error) => layout_errors.push(error.to_string()),
    }
    let misleading = masks.iter().flat_map(|site| site.warnings(options));
    warnings.extend(misleading.inspect(|warning| progress.warn(warning)));
    let (data, options) = (data.to_path_buf(), options.clone());
    let report =
        VerifyReport { data, layout, layout_errors, cases, sites, options, masks, warnings };
    progress.finish(&format!("{} cases, {} errors", found.len(), report.errors().count()));
    Ok(report)
}

/// Says of every image after the first of the same content whose it is.
fn name_twins(cases: &mut [CaseReport], groups: impl Iterator<Item = Vec<usize>>) {
    for group in groups {
        let Some((&first, others)) = group.split_first() else {
            continue;
        };
        let name = cases.get(first).map(CaseReport::name).unwrap_or_default();
        for &other in others {
            if let Some(case) = cases.get_mut(other) {
                let what = "its image has the voxels of case";
                case.errors.push(format!("{what} {name}: the same patient twice; remove one"));
            }
        }
    }
}
