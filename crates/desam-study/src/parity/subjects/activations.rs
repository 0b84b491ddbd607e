//! Intermediate results of a model by name, against those in a file of vectors.

use super::super::compare::Comparison;
use super::super::limits::FORWARD;
use super::super::reference_vectors::ReferenceVectors;
use super::super::report::Stage;
use crate::Result;
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// The precisions that reference vectors are computed in.
pub(super) const PRECISIONS: [&str; 2] = ["f32", "f64"];

/// Intermediate results under the names of the vectors, without the precision in front.
#[derive(Debug, Default)]
pub(super) struct Activations(BTreeMap<String, Tensor>);

impl Activations {
    pub(super) fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.0.insert(name.into(), tensor);
    }

    /// An intermediate result.
    pub(super) fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// One stage for each kind of result, over all blocks and both precisions of the file. Results that
    /// the file does not have are not compared; what it has and the model does not fails a stage.
    /// `is_other` names vectors that other stages compare.
    pub(super) fn stages(
        &self,
        subject: &str,
        file: &ReferenceVectors,
        is_other: impl Fn(&str) -> bool,
    ) -> Result<Vec<Stage>> {
        let mut kinds: BTreeMap<&str, (Comparison, BTreeSet<&str>)> = BTreeMap::new();
        let mut missing = Comparison::default();
        for precision in PRECISIONS {
            let prefix = format!("{precision}.");
            for name in file.between(&prefix, "").map(str::to_owned).collect::<Vec<_>>() {
                if is_other(&name) {
                    continue;
                }
                let Some((name, found)) = self.0.get_key_value(&name) else {
                    missing.fail(format!("{precision}.{name} has no counterpart"));
                    continue;
                };
                let (compared, blocks) = kinds.entry(kind(name)).or_default();
                compared.tensors(found, file.get(&format!("{precision}.{name}"))?)?;
                blocks.insert(name);
            }
        }
        let stage = |(kind, (compared, names)): (&str, (Comparison, BTreeSet<&str>))| {
            let blocks = match names.len() {
                1 if names.contains(kind) => String::new(),
                n => format!(" of {n} blocks"),
            };
            compared.relative(format!("{subject} {kind}{blocks}"), FORWARD)
        };
        let mut stages: Vec<Stage> = kinds.into_iter().map(stage).collect();
        if !missing.note.is_empty() {
            stages.push(missing.relative(format!("{subject} complete"), FORWARD));
        }
        Ok(stages)
    }
}

/// `out` of `block3.out`; other names as they are.
fn kind(name: &str) -> &str {
    match name.split_once('.') {
        Some((block, kind)) if block.starts_with("block") => kind,
        _ => name,
    }
}
