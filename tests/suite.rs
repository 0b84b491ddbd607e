//! What no single crate can test: training and prediction against the official program, gradients
//! of the assembled model, threads, the whole path from volumes to scores. One file a subject.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod cancelled;
mod determinism;
mod dicom_data_sets;
mod foreign;
mod foreign_reader;
mod gradients;
mod official_checkpoint;
mod official_parity;
mod reading;
mod resume;
mod sizes;
mod support;
mod tensorboard;
mod volumes;
mod whole_path;
