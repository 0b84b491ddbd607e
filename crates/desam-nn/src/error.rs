//! Errors of loading parameters into a module.

/// Result of this crate, outside tensor forwards.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A parameter whose shape is not the one the module has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// The parameter's official name.
    pub name: String,
    /// The shape the module has.
    pub expected: Vec<usize>,
    /// The shape in the checkpoint.
    pub found: Vec<usize>,
}

impl std::fmt::Display for ShapeMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (expected {:?}, found {:?})", self.name, self.expected, self.found)
    }
}

/// Errors of `desam-nn`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The checkpoint's keys or shapes do not match the module's.
    #[error("{}", mismatch_message(missing, unexpected, misshapen))]
    Parameters {
        /// Parameters the module has and the checkpoint lacks.
        missing: Vec<String>,
        /// Parameters the checkpoint has and the module lacks.
        unexpected: Vec<String>,
        /// Parameters whose shapes differ.
        misshapen: Vec<ShapeMismatch>,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

fn mismatch_message(
    missing: &[String],
    unexpected: &[String],
    misshapen: &[ShapeMismatch],
) -> String {
    let mut parts = Vec::new();
    let list = |names: &[String]| format!("\n    {}", names.join("\n    "));
    if !missing.is_empty() {
        parts.push(format!("{} missing:{}", missing.len(), list(missing)));
    }
    if !unexpected.is_empty() {
        parts.push(format!("{} unexpected:{}", unexpected.len(), list(unexpected)));
    }
    if !misshapen.is_empty() {
        let names: Vec<String> = misshapen.iter().map(ToString::to_string).collect();
        parts.push(format!("{} with a different shape:{}", names.len(), list(&names)));
    }
    format!("the checkpoint does not fit the model; {}", parts.join("\n  "))
}
