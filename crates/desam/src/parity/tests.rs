use super::*;
use desam_core::{Precision, Quiet};

#[test]
fn bf16_on_a_cpu_is_refused() {
    let options = ParityOptions { precision: Precision::Bf16, ..ParityOptions::default() };
    let nowhere = Path::new("nowhere");
    let error = parity_on(nowhere, &options, &Quiet).unwrap_err().to_string();
    assert!(error.contains("bf16") && error.contains("GPU"), "{error}");
}
