//! Tests that belong to no single crate.

/// The README's Rust, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
