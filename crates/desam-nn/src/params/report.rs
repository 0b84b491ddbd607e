//! Report of a parameter loading: everything that does not match.

use crate::{Error, Result, ShapeMismatch};

/// Mismatches between a checkpoint's parameters and a module's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters the module has and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Parameters the checkpoint has and the module lacks.
    pub unexpected: Vec<String>,
    /// Parameters whose shapes differ.
    pub misshapen: Vec<ShapeMismatch>,
    /// Parameters that were initialised from a seed.
    pub initialised: Vec<String>,
}

impl LoadReport {
    /// Adds the findings of another module.
    pub fn merge(&mut self, other: Self) {
        self.missing.extend(other.missing);
        self.unexpected.extend(other.unexpected);
        self.misshapen.extend(other.misshapen);
        self.initialised.extend(other.initialised);
    }

    /// All findings as one error, if there are any.
    ///
    /// # Errors
    /// [`Error::Parameters`] when anything is missing, unexpected or misshapen.
    pub fn check(&self) -> Result<()> {
        if self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty() {
            return Ok(());
        }
        Err(Error::Parameters {
            missing: self.missing.clone(),
            unexpected: self.unexpected.clone(),
            misshapen: self.misshapen.clone(),
        })
    }
}
