//! The `desam` program.
fn main() {}
