//! The real program, end to end at toy size. One test file, so that its phantoms, features and model
//! are made once.

#[macro_use]
mod common;
mod demo;
mod killed;
mod pipeline;
mod usage;
