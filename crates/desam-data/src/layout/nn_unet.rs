//! The layout of nnU-Net, as the official DeSAM has it: `imagesTr/NAME_0000.nii.gz`,
//! `labelsTr/NAME.nii.gz`, and a table with the columns `patientid` and `center` beside them.

use super::names::strip_suffix;
use super::{Case, entries, name_of, table};
use crate::volumes::without_ending;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the first channel of an image ends in; further channels are passed over.
const CHANNEL: &str = "_0000";

/// The folder that holds `imagesTr`: `dir` itself or its `raw_data`.
pub(super) fn root(dir: &Path) -> Option<PathBuf> {
    [dir.to_path_buf(), dir.join("raw_data")].into_iter().find(|d| d.join("imagesTr").is_dir())
}

/// All cases under `dir`.
pub(super) fn cases(dir: &Path) -> Result<Vec<Case>> {
    let Some(root) = root(dir) else {
        return Err(Error::NoSites { dir: dir.to_path_buf() });
    };
    let centres = centres(&root)?;
    let mut labels = BTreeMap::new();
    let folder = root.join("labelsTr");
    if folder.is_dir() {
        for path in entries(&folder)? {
            if let Some(stem) = without_ending(&name_of(&path)?) {
                labels.insert(stem.to_lowercase(), path);
            }
        }
    }
    let whole = name_of(&std::path::absolute(&root).map_err(Error::io("find", &root))?)?;
    let mut all = Vec::new();
    for image in entries(&root.join("imagesTr"))? {
        let name = name_of(&image)?;
        let Some(id) = without_ending(&name).and_then(|stem| strip_suffix(stem, CHANNEL)) else {
            continue;
        };
        let site = match &centres {
            Some(centres) => centres.of(id)?,
            None => whole.clone(),
        };
        let (id, label) = (id.to_owned(), labels.remove(&id.to_lowercase()));
        if label.is_none() {
            return Err(Error::MissingLabel { site, id, image });
        }
        all.push(Case { site, id, image, label });
    }
    match labels.into_iter().next() {
        Some((id, label)) => Err(Error::MissingImage { site: whole, id, label }),
        None => Ok(all),
    }
}

/// Which centre a patient is of.
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
        let read = table::read(&path)?;
        let columns = (read.column("patientid"), read.column("center"));
        let (Some(patient), Some(centre)) = columns else {
            continue;
        };
        if let Some(first) = found {
            let problem = format!("{} has the same columns; keep one", first.path.display());
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
