//! Helpers that the tests of this crate share.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;

/// The official program's tensors and numbers of `NAME.safetensors` and `NAME.json`, or `None`
/// where the reference vectors are not at hand.
pub(crate) fn reference(name: &str) -> Option<(HashMap<String, Tensor>, Vec<serde_json::Value>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if !folder.is_dir() {
        println!("skipped: no reference vectors at {}", folder.display());
        return None;
    }
    let tensors = folder.join(name).with_extension("safetensors");
    let tensors = candle_core::safetensors::load(&tensors, &Device::Cpu)
        .unwrap_or_else(|e| panic!("{}: {e}", tensors.display()));
    let text = std::fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    let serde_json::Value::Array(cases) = serde_json::from_str(&text).unwrap() else {
        panic!("{name}.json is not a list of cases");
    };
    assert!(!cases.is_empty(), "{name}.json has no cases");
    Some((tensors, cases))
}

/// A number of a case.
pub(crate) fn number(case: &serde_json::Value, key: &str) -> f64 {
    case[key].as_f64().unwrap_or_else(|| panic!("{key} is missing in {case}"))
}
