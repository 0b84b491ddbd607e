//! One run as the page shows it.

use super::view::{CaseView, Picture};
use crate::evaluate::Evaluation;
use crate::train::EpochRecord;

/// One run on the page. Empty parts are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// Its name where there are several runs.
    pub name: String,
    /// Its scores, with intervals where they should be shown ([`Evaluation::with_intervals`]).
    pub evaluation: Evaluation,
    /// Its training history.
    pub history: Vec<EpochRecord>,
    /// Pictures of single slices, grouped by site in the order of their first picture.
    pub pictures: Vec<Picture>,
    /// Cases shown slice by slice.
    pub views: Vec<CaseView>,
    /// Configuration and circumstances, as names and values.
    pub facts: Vec<(String, String)>,
    /// The whole configuration as text, in a collapsed section.
    pub configuration: String,
    /// Notices about this run.
    pub notes: Vec<String>,
    /// Its preprocessing, where known: runs that differ in it share no table.
    pub preprocessing: Option<String>,
}

impl RunReport {
    /// A run with scores alone.
    pub fn of(name: impl Into<String>, evaluation: Evaluation) -> Self {
        Self {
            name: name.into(),
            evaluation,
            history: Vec::new(),
            pictures: Vec::new(),
            views: Vec::new(),
            facts: Vec::new(),
            configuration: String::new(),
            notes: Vec::new(),
            preprocessing: None,
        }
    }
}
