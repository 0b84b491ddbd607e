//! The layout of nnU-Net, as the official DeSAM has it: `imagesTr/NAME_0000.nii.gz`,
//! `labelsTr/NAME.nii.gz`, and a table with the columns `patientid` and `center` beside them.

use super::names::strip_suffix;
use super::survey::{CaseFiles, Survey};
use super::{entries, looks_like, name_of, table};
use crate::{Error, Result};
use desam_core::text::DisplayPath as _;
use desam_volume::volumes::ReadOptions;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Suffix of the first channel of an image; further channels are ignored.
const CHANNEL: &str = "_0000";

/// The folder that holds `imagesTr`: `dir` itself or its `raw_data`.
pub(super) fn root(dir: &Path) -> Option<PathBuf> {
    [dir.to_path_buf(), dir.join("raw_data")].into_iter().find(|d| d.join("imagesTr").is_dir())
}

/// All cases under `dir`.
pub(super) fn survey(dir: &Path, read: &ReadOptions) -> Result<Survey> {
    let Some(root) = root(dir) else {
        return Err(Error::NoSites { dir: dir.to_path_buf() });
    };
    let centres = centres(&root)?;
    let whole = name_of(&std::path::absolute(&root).map_err(Error::io("find", &root))?)?;
    let mut all = Survey::default();
    let mut found = BTreeMap::<String, CaseFiles>::new();
    for path in listed(&root.join("imagesTr"), &mut all) {
        let Some(id) = stem(&path, read).and_then(|s| strip_suffix(s, CHANNEL)) else {
            all.problems.extend(unnameable(&path, read));
            continue;
        };
        let new = CaseFiles { image: Some(path.clone()), ..CaseFiles::new(&whole, id) };
        if let Some(first) = found.insert(id.to_lowercase(), new) {
            let (site, id, first) = (first.site, first.id, first.image.unwrap_or_default());
            all.problems.push(Error::DuplicateCase { site, id, first, second: path });
        }
    }
    let folder = root.join("labelsTr");
    let labels = if folder.is_dir() { listed(&folder, &mut all) } else { Vec::new() };
    for path in labels {
        let Some(id) = stem(&path, read) else {
            all.problems.extend(unnameable(&path, read));
            continue;
        };
        let entry = found.entry(id.to_lowercase()).or_insert_with(|| CaseFiles::new(&whole, id));
        if let Some(first) = entry.label.replace(path.clone()) {
            let (site, id) = (whole.clone(), id.to_owned());
            all.problems.push(Error::DuplicateCase { site, id, first, second: path });
        }
    }
    for mut case in found.into_values() {
        // Whose image is missing is of no centre either.
        if let (Some(centres), Some(_)) = (&centres, &case.image) {
            match centres.of(&case.id) {
                Ok(centre) => case.site = centre,
                Err(problem) => {
                    all.problems.push(problem);
                    continue;
                }
            }
        }
        let image = format!("imagesTr/{}{CHANNEL}.nii.gz", case.id);
        let label = format!("labelsTr/{}.nii.gz", case.id);
        all.take(case.pair(&image, &label));
    }
    Ok(all)
}

/// Entries of a folder; one that cannot be listed is a problem among others.
fn listed(folder: &Path, all: &mut Survey) -> Vec<PathBuf> {
    entries(folder).unwrap_or_else(|problem| {
        all.problems.push(problem.into());
        Vec::new()
    })
}

/// The problem with a volume after whose name no case can be called; `None` for any other file.
fn unnameable(path: &Path, read: &ReadOptions) -> Option<Error> {
    name_of(path).err().filter(|_| looks_like(path, read, |_| true))
}

/// The name of a volume without its ending; `None` for files that are none and for names that are
/// not UTF-8.
pub(super) fn stem<'p>(path: &'p Path, read: &ReadOptions) -> Option<&'p str> {
    path.file_name().and_then(|n| n.to_str()).and_then(|name| read.without_ending(name))
}

/// Table of the centre of each patient.
struct Centres {
    path: PathBuf,
    rows: Vec<(String, String)>,
}

/// The one table beside the images that has both columns; `None` where there is no such table.
fn centres(root: &Path) -> Result<Option<Centres>> {
    let mut found: Option<Centres> = None;
    for path in entries(root)? {
        if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            continue;
        }
        let mut read = table::read(&path)?;
        let columns = (read.column("patientid"), read.column("center"));
        let (Some(patient), Some(centre)) = columns else {
            continue;
        };
        // Of other tables it does not matter what is wrong with them.
        if !read.problems.is_empty() {
            return Err(read.problems.remove(0));
        }
        if let Some(first) = found {
            let problem =
                format!("{} has the same columns; keep one", first.path.display_escaped());
            return Err(Error::Table { path, line: 1, problem });
        }
        let rows = read.rows.iter().map(|r| (r.cell(patient), r.cell(centre))).collect();
        found = Some(Centres { path, rows });
    }
    Ok(found)
}

impl Centres {
    /// The centre of the case `id`: its row names it whole, or by the number that it ends in (the
    /// official program's `prostate_007` is the patient 7).
    fn of(&self, id: &str) -> Result<String> {
        let whole = self.rows.iter().filter(|(patient, _)| patient.eq_ignore_ascii_case(id));
        let number = last_number(id);
        let by_number = self
            .rows
            .iter()
            .filter(|(patient, _)| number.is_some() && patient.parse::<u64>().ok() == number);
        let mut rows: Vec<_> = whole.collect();
        if rows.is_empty() {
            rows = by_number.collect();
        }
        let refuse = |problem| Err(Error::Table { path: self.path.clone(), line: 1, problem });
        match rows.as_slice() {
            [(_, centre)] if centre.contains(char::REPLACEMENT_CHARACTER) => {
                refuse(format!("the center of patient {id} is not UTF-8"))
            }
            [(_, centre)] if !centre.is_empty() => Ok(centre.clone()),
            [_] => refuse(format!("the center of patient {id} is empty")),
            [] => refuse(format!("no row is of patient {id}")),
            _ => refuse(format!("{} rows are of patient {id}", rows.len())),
        }
    }
}

fn last_number(id: &str) -> Option<u64> {
    let digits = id.rsplit(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    digits.and_then(|d| d.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};
    use super::*;

    const FILES: [&str; 5] = [
        "raw_data/imagesTr/prostate_001_0000.nii.gz",
        "raw_data/imagesTr/prostate_012_0000.nii.gz",
        "raw_data/imagesTr/prostate_012_0001.nii.gz",
        "raw_data/labelsTr/prostate_001.nii.gz",
        "raw_data/labelsTr/prostate_012.nii.gz",
    ];

    #[test]
    fn centres_come_from_the_table() {
        let dir = tree(&FILES);
        let csv = dir.path().join("raw_data/prostate_patientid.csv");
        // Another table, whose rows are not of one length.
        let other = dir.path().join("raw_data/notes.csv");
        std::fs::write(other, "a,b\n1,2,3\n").unwrap();
        for rows in ["1,RUNMC\n12,BMC\n", "prostate_001,RUNMC\nPROSTATE_012, BMC\n1,X\n"] {
            std::fs::write(&csv, format!("patientid,center\n{rows}")).unwrap();
            assert_eq!(Layout::of(dir.path()).unwrap(), Layout::NnUnet);
            let found = discover(dir.path()).unwrap();
            let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
            assert_eq!(short, [("BMC", "prostate_012"), ("RUNMC", "prostate_001")]);
            let label = dir.path().join("raw_data/labelsTr/prostate_012.nii.gz");
            assert_eq!(found[0].label, Some(label));
            assert_eq!(discover(&dir.path().join("raw_data")).unwrap(), found);
        }
        for rows in ["1,RUNMC\n", "1,RUNMC\n12,BMC\n12,HK\n", "1,RUNMC\n12,\n"] {
            std::fs::write(&csv, format!("patientid,center\n{rows}")).unwrap();
            let error = discover(dir.path()).unwrap_err();
            assert!(matches!(error, Error::Table { .. }), "{error}");
            assert!(error.to_string().contains("prostate_012"), "{error}");
        }
    }

    #[test]
    fn without_a_table_there_is_one_site() {
        let dir = tree(&FILES);
        let found = discover(dir.path()).unwrap();
        assert!(found.len() == 2 && found.iter().all(|c| c.site == "raw_data"), "{found:?}");
        std::fs::remove_file(dir.path().join(FILES[3])).unwrap();
        assert!(matches!(discover(dir.path()), Err(Error::MissingLabel { .. })));
        std::fs::remove_file(dir.path().join(FILES[0])).unwrap();
        std::fs::remove_file(dir.path().join(FILES[1])).unwrap();
        assert!(matches!(discover(dir.path()), Err(Error::MissingImage { .. })));
    }
}
