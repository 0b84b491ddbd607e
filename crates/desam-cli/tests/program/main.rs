//! End-to-end tests of the program on toy data. One test binary, so that the phantoms, features and
//! model of the fixture are made once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[macro_use]
mod common;
mod adapters;
mod augmenting;
mod checkpoints;
mod classes;
mod demo;
mod deploy;
mod device;
#[cfg(feature = "dicom")]
mod dicom_folders;
mod encoder;
mod evaluating;
mod formats;
#[cfg(feature = "image")]
mod images;
mod integrity;
mod killed;
mod leftovers;
mod limits;
mod locks;
mod matching;
mod mobile_sam;
mod names;
mod outputs;
mod overwriting;
mod parity;
mod parts;
mod pipeline;
mod predict;
mod ranges;
mod reading;
mod report;
mod slurm;
mod sweep;
mod usage;
mod variants;
