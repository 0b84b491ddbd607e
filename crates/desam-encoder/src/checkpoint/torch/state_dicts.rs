//! State dicts: all tensors under a pickle's dictionaries, with their names.

use super::super::pickle::{Id, Tree, Value, parse};
use super::tensor::{TensorDescription, describe};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::Path;

/// Limit on nesting of dictionaries.
const MAX_NESTING: usize = 8;

/// Limit on the length of a tensor's name, bytes.
const MAX_NAME_LEN: usize = 1024;

/// Limit on tensors. ViT-H with an optimizer's state has 4000.
const MAX_TENSORS: usize = 100_000;

/// A tensor with its path of keys.
pub(super) struct NamedTensor {
    /// All keys from the root, joined by dots.
    pub(super) name: String,
    /// Length in bytes of the dictionaries' part of `name`, before the innermost key.
    pub(super) container: usize,
    pub(super) description: TensorDescription,
}

/// All tensors under dictionaries, the outermost dictionaries first.
pub(super) fn named_tensors(path: &Path, pickle: &[u8]) -> Result<Vec<NamedTensor>> {
    let tree = parse(pickle).map_err(|e| Error::checkpoint(path, e))?;
    let root = tree.root();
    let Some(top) = tree.entries(root) else {
        return Err(Error::checkpoint(path, no_state_dict(&tree, root)));
    };
    let mut found = Vec::new();
    // Breadth-first search; a shared dictionary counts at its shortest path.
    let mut seen = HashSet::from([root]);
    let mut queue = VecDeque::from([(root, String::new(), 0usize)]);
    while let Some((dictionary, prefix, depth)) = queue.pop_front() {
        for (key, value) in items(&tree, dictionary) {
            if prefix.len() + key.len() > MAX_NAME_LEN {
                let reason =
                    format!("a key of more than {MAX_NAME_LEN} bytes: no name of a tensor");
                return Err(Error::checkpoint(path, reason));
            }
            if let Some(description) = describe(&tree, value) {
                if found.len() >= MAX_TENSORS {
                    let reason = format!("more than {MAX_TENSORS} tensors: no checkpoint of a SAM");
                    return Err(Error::checkpoint(path, reason));
                }
                let name = format!("{prefix}{key}");
                found.push(NamedTensor { name, container: prefix.len(), description });
            } else if depth < MAX_NESTING && tree.entries(value).is_some() && seen.insert(value) {
                queue.push_back((value, format!("{prefix}{key}."), depth + 1));
            }
        }
    }
    if found.is_empty() {
        let keys = top.iter().filter_map(|(key, _)| tree.text(*key));
        let keys: Vec<String> = keys.take(20).map(|k| k.chars().take(40).collect()).collect();
        let reason = format!(
            "no tensors in it; its keys are {keys:?}; expected a state dict, at its top or under \
             a key such as `model`"
        );
        return Err(Error::checkpoint(path, reason));
    }
    Ok(found)
}

/// The values of a dictionary under its string keys. Of equal keys the last one counts.
fn items<'a>(tree: &Tree<'a>, dictionary: Id) -> BTreeMap<&'a str, Id> {
    let entries = tree.entries(dictionary).unwrap_or_default();
    // An optimizer's state is keyed by numbers, and so is not followed.
    entries.iter().filter_map(|(key, value)| Some((tree.text(*key)?, *value))).collect()
}

/// Error message for a pickle that is no dictionary.
fn no_state_dict(tree: &Tree<'_>, root: Id) -> String {
    let found = match tree.get(root) {
        Value::Object { callable, .. } => match tree.get(*callable) {
            Value::Class { module, name } => format!("an object of class {module}.{name}"),
            _ => "an object".to_owned(),
        },
        other => other.type_name().to_owned(),
    };
    format!(
        "it holds a whole object ({found}), not a state dict; save it again in Python: \
         torch.save(model.state_dict(), path)"
    )
}
