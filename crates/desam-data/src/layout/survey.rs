//! Survey of a data set: cases, and problems of its layout.

use super::Case;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

/// The cases of a data set, and everything that is wrong with how it is laid out.
#[derive(Debug, Default)]
pub struct Survey {
    /// Cases of one image with one label (or, in a table, none), by site, then by id.
    pub cases: Vec<Case>,
    /// Everything that is not a valid case: an image or label alone, duplicates, an invalid row.
    pub problems: Vec<Error>,
}

impl Survey {
    /// Adds what was found in one place, if anything.
    pub(super) fn take(&mut self, found: Result<Option<Case>>) {
        match found {
            Ok(case) => self.cases.extend(case),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Adds what was found in a folder; one that cannot be looked into is a problem among others.
    pub(super) fn take_all(&mut self, found: Result<Self>) {
        match found {
            Ok(other) => {
                self.cases.extend(other.cases);
                self.problems.extend(other.problems);
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Sorts the cases, and takes out those that another one of the same name came before.
    pub(super) fn in_order(mut self) -> Self {
        let mut named = BTreeMap::<(String, String), PathBuf>::new();
        let problems = &mut self.problems;
        self.cases.retain(|case| {
            let name = (case.site.to_lowercase(), case.id.to_lowercase());
            match named.entry(name) {
                Entry::Vacant(free) => {
                    free.insert(case.image.clone());
                    true
                }
                Entry::Occupied(taken) => {
                    let (site, id, second) =
                        (case.site.clone(), case.id.clone(), case.image.clone());
                    let first = taken.get().clone();
                    problems.push(Error::DuplicateCase { site, id, first, second });
                    false
                }
            }
        });
        self.cases.sort_by(|a, b| (&a.site, &a.id).cmp(&(&b.site, &b.id)));
        self
    }

    /// The cases, or the first thing that is wrong.
    pub(super) fn into_cases(mut self) -> Result<Vec<Case>> {
        if self.problems.is_empty() { Ok(self.cases) } else { Err(self.problems.remove(0)) }
    }
}

/// The files found of one case.
#[derive(Debug)]
pub(super) struct CaseFiles {
    pub(super) site: String,
    pub(super) id: String,
    pub(super) image: Option<PathBuf>,
    pub(super) label: Option<PathBuf>,
}

impl CaseFiles {
    pub(super) fn new(site: &str, id: &str) -> Self {
        Self { site: site.to_owned(), id: id.to_owned(), image: None, label: None }
    }

    /// One image with one label; nothing where neither is there, and an error that says what the
    /// missing one might be called where one is.
    pub(super) fn pair(self, image_name: &str, label_name: &str) -> Result<Option<Case>> {
        let Self { site, id, image, label } = self;
        let (image_name, label_name) = (image_name.to_owned(), label_name.to_owned());
        match (image, label) {
            (Some(image), Some(label)) => Ok(Some(Case { site, id, image, label: Some(label) })),
            (Some(image), None) => {
                Err(Error::MissingLabel { site, id, image, expected: label_name })
            }
            (None, Some(label)) => {
                Err(Error::MissingImage { site, id, label, expected: image_name })
            }
            (None, None) => Ok(None),
        }
    }
}
