//! Report on a data set: layout, cases, sites, errors, warnings.

use super::{MaskCheck, SiteMasks, VerifyOptions};
use crate::layout::Layout;
use desam_core::text::one_line;
use desam_volume::volumes::VolumeFormat;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A data set, case by case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The data set.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub data: PathBuf,
    /// Layout of the data set.
    pub layout: Layout,
    /// Errors of the layout: images or labels alone, duplicate cases, no label at all.
    pub layout_errors: Vec<String>,
    /// Its cases, by site, then by id.
    pub cases: Vec<CaseReport>,
    /// Its sites.
    pub sites: Vec<SiteReport>,
    /// Options that labels were resampled to masks with.
    pub options: VerifyOptions,
    /// Mask check of each site.
    pub masks: Vec<SiteMasks>,
    /// Warnings about the whole data set.
    pub warnings: Vec<String>,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// The site.
    pub site: String,
    /// The case within the site.
    pub id: String,
    /// The image.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub image: PathBuf,
    /// The ground truth, where there is one.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub label: Option<PathBuf>,
    /// The image's format, where it is known.
    pub format: Option<VolumeFormat>,
    /// Voxels along `i`, `j`, `k`, where the image could be read.
    pub dims: Option<[usize; 3]>,
    /// Spacing along `i`, `j`, `k` in mm, where the image could be read and has millimetres.
    pub spacing_mm: Option<[f64; 3]>,
    /// Label values that occur, with the number of their voxels.
    pub label_values: BTreeMap<u8, u64>,
    /// Volume of all labels above 0, in ml; absent of a two-dimensional image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreground_ml: Option<f64>,
    /// Axial slices.
    pub slices: usize,
    /// Axial slices with foreground.
    pub labelled_slices: usize,
    /// Mask check of its labels, where they could be resampled to masks.
    pub masks: Option<MaskCheck>,
    /// Faults that would make training with this case wrong.
    pub errors: Vec<String>,
    /// Warnings about the case.
    pub warnings: Vec<String>,
}

impl CaseReport {
    /// `SITE/CASE`, on one line.
    pub fn name(&self) -> String {
        format!("{}/{}", one_line(&self.site), one_line(&self.id))
    }
}

/// Summary of the cases of one site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteReport {
    /// The site.
    pub site: String,
    /// Its cases.
    pub cases: usize,
    /// Axial slices of all of them.
    pub slices: usize,
    /// Axial slices with foreground.
    pub labelled_slices: usize,
    /// Smallest spacing along `i`, `j`, `k`, in mm; absent where no image could be read.
    pub least_spacing_mm: Option<[f64; 3]>,
    /// Largest spacing along `i`, `j`, `k`, in mm.
    pub most_spacing_mm: Option<[f64; 3]>,
    /// Label values that occur, with the number of cases they occur in.
    pub label_values: BTreeMap<u8, usize>,
}

impl VerifyReport {
    /// Everything that is an error, in words: those of the layout, which name their case
    /// themselves, then each case's after its name.
    pub fn errors(&self) -> impl Iterator<Item = String> {
        let in_case = |case: &CaseReport| {
            let name = case.name();
            case.errors.iter().map(move |error| format!("{name}: {error}")).collect::<Vec<_>>()
        };
        self.layout_errors.iter().cloned().chain(self.cases.iter().flat_map(in_case))
    }

    /// Whether nothing speaks against training.
    pub fn is_fit(&self) -> bool {
        self.errors().next().is_none()
    }

    /// Axial slices with foreground, in all cases.
    pub fn labelled_slices(&self) -> usize {
        self.sites.iter().map(|s| s.labelled_slices).sum()
    }

    /// Axial slices of all cases.
    pub fn slices(&self) -> usize {
        self.sites.iter().map(|s| s.slices).sum()
    }
}

pub(super) fn sites(cases: &[CaseReport]) -> Vec<SiteReport> {
    let mut groups: BTreeMap<&str, Vec<&CaseReport>> = BTreeMap::new();
    for case in cases {
        groups.entry(&case.site).or_default().push(case);
    }
    let site = |(site, cases): (&str, Vec<&CaseReport>)| {
        let spread = |pick: fn(f64, f64) -> f64| {
            let all = cases.iter().filter_map(|c| c.spacing_mm);
            all.reduce(|a, b| std::array::from_fn(|axis| pick(a[axis], b[axis])))
        };
        let mut label_values = BTreeMap::new();
        for value in cases.iter().flat_map(|c| c.label_values.keys()) {
            *label_values.entry(*value).or_default() += 1;
        }
        SiteReport {
            site: site.to_owned(),
            cases: cases.len(),
            slices: cases.iter().map(|c| c.slices).sum(),
            labelled_slices: cases.iter().map(|c| c.labelled_slices).sum(),
            least_spacing_mm: spread(f64::min),
            most_spacing_mm: spread(f64::max),
            label_values,
        }
    };
    groups.into_iter().map(site).collect()
}

pub(super) fn warnings(sites: &[SiteReport]) -> Vec<String> {
    let mut all = Vec::new();
    if let [only] = sites {
        all.push(format!("{} is the only site: there is none to score on", only.site));
    }
    for site in sites.iter().filter(|s| s.cases < 2) {
        let why = "training holds out a case for validation and needs two";
        all.push(format!("site {} has one case: {why}", site.site));
    }
    all
}
