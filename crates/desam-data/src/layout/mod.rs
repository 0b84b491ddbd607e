//! Layouts of multi-site data sets on the disk: finding images, labels and sites.
//! Each known layout is one file here and a value of [`Layout`].

mod decathlon;
mod folders;
mod i2cvb;
mod images;
mod listing;
mod max_style;
mod names;
mod nci_isbi;
mod nn_unet;
mod promise12;
mod saml;
mod survey;
mod table;
#[cfg(test)]
mod testing;

pub use listing::unused_series;
pub use listing::{FolderListing, UnreadFolder, list_folder, list_folder_with, list_volumes};
pub use survey::Survey;

use crate::preprocess::PreprocessConfig;
use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_volume::listing::entries;
use desam_volume::volumes::{ReadOptions, VolumeFormat};
use names::VolumeName;
use std::fmt;
use std::path::{Path, PathBuf};

/// One patient's volume and its ground truth.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The site it comes from, as its folder is named.
    pub site: String,
    /// The case within the site, as its file is named.
    pub id: String,
    /// The image volume.
    #[serde(with = "desam_core::serde_path")]
    pub image: PathBuf,
    /// The ground truth, where there is one.
    #[serde(default, with = "desam_core::serde_path")]
    pub label: Option<PathBuf>,
}

/// The known layouts of a data set. Volumes may be of any format; names are case-insensitive; hidden
/// files, other files and folders without volumes are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layout {
    /// `SITE/CaseXX.nii.gz` beside `SITE/CaseXX_segmentation.nii.gz`, as the SAML release of the
    /// six prostate sites has it.
    Saml,
    /// `SITE/patient_N/t2_img_clipped.nii.gz` with `label_clipped.nii.gz`, as MaxStyle has it.
    MaxStyle,
    /// `imagesTr/NAME_0000.nii.gz` and `labelsTr/NAME.nii.gz`, in the folder or in its `raw_data`,
    /// with a table of the columns `patientid` and `center`, as the official DeSAM has it; one
    /// site where there is no such table.
    NnUnet,
    /// `imagesTr/NAME.nii.gz` and `labelsTr/NAME.nii.gz` with a `dataset.json`, as the Medical
    /// Segmentation Decathlon has it; one site.
    Decathlon,
    /// `CaseXX.mhd` beside `CaseXX_segmentation.mhd` in the folder itself or in
    /// `TrainingData_PartN`, as PROMISE12 has it; one site.
    Promise12,
    /// `…/PATIENT/STUDY/SERIES/*.dcm` with `PATIENT.nrrd` at any depth, as the Cancer Imaging
    /// Archive ships the NCI-ISBI 2013 challenge: patients `Prostate3T-01-0001` are of the site
    /// RUNMC, `ProstateDx-01-0001` of BMC.
    NciIsbi2013,
    /// `SITE/Patient NNN/T2W/*.dcm` with `SITE/Patient NNN/GT/prostate/*.dcm`, as I2CVB has it.
    I2cvb,
    /// `images/NAME.png` with `masks/NAME.png` or `labels/NAME.png`, in the folder itself, which is one
    /// site, or in a folder of each site: two-dimensional images, or volumes.
    Images,
    /// A CSV file with the columns `image`, `label` (may be empty), `case` and `site`.
    Table,
}

impl Layout {
    /// Detects the layout of a data set.
    ///
    /// # Errors
    /// [`Io`](desam_volume::Error::Io) when a folder cannot be listed.
    pub fn of(data: &Path) -> Result<Self> {
        Self::of_with(data, &ReadOptions::default())
    }

    /// The layout of a data set whose volumes are read with `read`: files of a registered
    /// [`VolumeReader`](desam_volume::volumes::VolumeReader) are volumes too.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_with(data: &Path, read: &ReadOptions) -> Result<Self> {
        if data.exists() && !data.is_dir() {
            // Opening a pipe or a device must not block.
            open_regular(data).map_err(Error::io("read", data))?;
            return Ok(Self::Table);
        }
        Ok(if decathlon::is_there(data, read)? {
            Self::Decathlon
        } else if nn_unet::root(data).is_some() {
            Self::NnUnet
        } else if promise12::is_there(data, read)? {
            Self::Promise12
        } else if max_style::is_there(data, read)? {
            Self::MaxStyle
        } else if nci_isbi::is_there(data)? {
            Self::NciIsbi2013
        } else if i2cvb::is_there(data)? {
            Self::I2cvb
        } else if images::is_there(data)? {
            Self::Images
        } else {
            Self::Saml
        })
    }

    /// All cases of the data set, by site, then by id.
    ///
    /// # Errors
    /// As [`discover`].
    pub fn cases(self, data: &Path) -> Result<Vec<Case>> {
        self.cases_with(data, &ReadOptions::default())
    }

    /// All cases of a data set whose volumes are read with `read`.
    ///
    /// # Errors
    /// As [`discover`].
    pub fn cases_with(self, data: &Path, read: &ReadOptions) -> Result<Vec<Case>> {
        self.survey_with(data, read)?.into_cases()
    }

    /// The cases of the data set together with everything that is wrong with its layout, where
    /// [`cases`](Self::cases) stops at the first thing.
    ///
    /// # Errors
    /// [`Error::NoSites`] when there is nothing to find, [`Error::Table`] when a table lacks a
    /// column, [`Io`](desam_volume::Error::Io) when a folder cannot be listed.
    pub fn survey(self, data: &Path) -> Result<Survey> {
        self.survey_with(data, &ReadOptions::default())
    }

    /// The cases and problems of a data set whose volumes are read with `read`.
    ///
    /// # Errors
    /// As [`survey`](Self::survey).
    pub fn survey_with(self, data: &Path, read: &ReadOptions) -> Result<Survey> {
        let all = match self {
            Self::Saml => saml::survey(data, read),
            Self::MaxStyle => max_style::survey(data, read),
            Self::NnUnet => nn_unet::survey(data, read),
            Self::Decathlon => decathlon::survey(data, read),
            Self::Promise12 => promise12::survey(data, read),
            Self::NciIsbi2013 => nci_isbi::survey(data),
            Self::I2cvb => i2cvb::survey(data),
            Self::Images => images::survey(data, read),
            Self::Table => table::survey(data, read),
        }?;
        if all.cases.is_empty() && all.problems.is_empty() {
            return Err(Error::NoSites { dir: data.to_path_buf() });
        }
        Ok(all.in_order())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Saml => "SITE/CASE with SITE/CASE_segmentation (SAML release)",
            Self::MaxStyle => "SITE/PATIENT/t2_img_clipped with label_clipped (MaxStyle)",
            Self::NnUnet => "imagesTr with labelsTr (nnU-Net, DeSAM)",
            Self::Decathlon => "imagesTr with labelsTr and dataset.json (Decathlon)",
            Self::Promise12 => "CASE with CASE_segmentation in one folder (PROMISE12)",
            Self::NciIsbi2013 => "PATIENT/STUDY/SERIES with PATIENT.nrrd (NCI-ISBI 2013)",
            Self::I2cvb => "SITE/PATIENT/T2W with GT/prostate (I2CVB)",
            Self::Images => "images with masks, by name, in a folder each",
            Self::Table => "a table of cases (CSV)",
        })
    }
}

/// Finds the cases of a data set, whichever [`Layout`] it has, by site, then by id.
///
/// # Errors
/// [`Error::NoSites`] when there is nothing to find, [`Error::MissingLabel`],
/// [`Error::MissingImage`] and [`Error::DuplicateCase`] when a case is not one image with one
/// label, [`Error::Table`] when a table is not as it should be, [`Io`](desam_volume::Error::Io) when a folder cannot
/// be listed.
pub fn discover(data: &Path) -> Result<Vec<Case>> {
    discover_with(data, &ReadOptions::default())
}

/// Finds the cases of a data set whose volumes are read with `read`.
///
/// # Errors
/// As [`discover`].
pub fn discover_with(data: &Path, read: &ReadOptions) -> Result<Vec<Case>> {
    Layout::of_with(data, read)?.cases_with(data, read)
}

/// The preprocessing of a data set unless another one is chosen: [`PreprocessConfig::image`] where all
/// images are two-dimensional by their names, [`PreprocessConfig::paper`] otherwise, also where the
/// cases cannot be listed.
pub fn default_preprocess(data: &Path, read: &ReadOptions) -> PreprocessConfig {
    let survey = Layout::of_with(data, read).and_then(|layout| layout.survey_with(data, read));
    let cases = survey.map(|found| found.cases).unwrap_or_default();
    let is_image = |case: &Case| is_two_dimensional(&case.image, read);
    if !cases.is_empty() && cases.iter().all(is_image) {
        PreprocessConfig::image()
    } else {
        PreprocessConfig::paper()
    }
}

/// Whether a file is a two-dimensional image by its name.
pub(crate) fn is_two_dimensional(path: &Path, read: &ReadOptions) -> bool {
    let format = VolumeFormat::of_name(path);
    read.reader_of(path).is_none() && format.is_some_and(VolumeFormat::is_two_dimensional)
}

/// The folder that the paths of a data set are relative to: the data set, or the folder of a table.
pub fn data_root(data: &Path) -> &Path {
    match data.parent() {
        Some(folder) if data.is_file() => {
            if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            }
        }
        _ => data,
    }
}

/// Whether a file is named as a volume of a kind. Endings are ASCII, so that the name need not be
/// UTF-8.
fn looks_like(path: &Path, read: &ReadOptions, kind: impl FnOnce(VolumeName<'_>) -> bool) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    VolumeName::parse(&name, read).is_some_and(kind)
}

/// The name of a file or folder after which a case or site is called, which must be text.
fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|n| n.to_str());
    name.map(str::to_owned).ok_or_else(|| Error::FileName { path: path.to_path_buf() })
}
