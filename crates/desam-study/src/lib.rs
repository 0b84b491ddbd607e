//! Experiments with DeSAM: training a decoder on one site, evaluating it on others, sweeps over many
//! runs, reports, and parity with the official program.
//!
//! | to | see |
//! |---|---|
//! | train a decoder on one site | [`train`] |
//! | score it on the others | [`evaluate`] |
//! | make the paper's tables, on one machine or many | [`sweep`] |
//! | look at scores, curves and outlines on one page | [`report`] |
//! | hold everything to the official program | [`parity`] |
//! | see all of it work on phantoms | [`demo`] |
//!
//! Models, features and prediction are in [`desam`]. Nothing here prints, exits or reads the environment;
//! long work reports to a [`desam::Progress`].

pub mod demo;
mod error;
pub mod evaluate;
pub mod parity;
pub mod report;
pub mod sweep;
pub mod train;

pub use error::{Error, Result};
