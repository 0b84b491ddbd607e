//! `--base`: the SAM below a model's adapters.

use clap::Args;
use std::path::PathBuf;

/// The flag `--base`.
#[derive(Debug, Args)]
pub(crate) struct BaseFlag {
    /// SAM that a model with adapters was trained on, a file or a cache made with it [default: where it
    /// was in training]
    #[arg(long, value_name = "FILE|CACHE")]
    pub(crate) base: Option<PathBuf>,
}
