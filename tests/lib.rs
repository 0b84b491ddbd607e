//! Tests that belong to no single crate.

/// The README's Rust, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The Rust of the crates' READMEs.
#[cfg(doctest)]
mod crates {
    #[doc = include_str!("../crates/desam/README.md")]
    struct Desam;
    #[doc = include_str!("../crates/desam-core/README.md")]
    struct Core;
    #[doc = include_str!("../crates/desam-data/README.md")]
    struct Data;
    #[doc = include_str!("../crates/desam-decoder/README.md")]
    struct Decoder;
    #[doc = include_str!("../crates/desam-encoder/README.md")]
    struct Encoder;
    #[doc = include_str!("../crates/desam-metrics/README.md")]
    struct Metrics;
    #[doc = include_str!("../crates/desam-nn/README.md")]
    struct Nn;
    #[doc = include_str!("../crates/desam-prompt/README.md")]
    struct Prompt;
    #[doc = include_str!("../crates/desam-volume/README.md")]
    struct Volume;
}
