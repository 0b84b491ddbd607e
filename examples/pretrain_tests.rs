//! The tests inside the modules of `pretrain_tiny`.

#![allow(clippy::unwrap_used)] // a test's way to fail
#![allow(dead_code)] // what only `pretrain_tiny` itself calls

mod pretrain;
