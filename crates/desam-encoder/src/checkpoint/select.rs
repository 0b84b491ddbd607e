//! Selection of the model among a checkpoint's tensors, and removal of name prefixes.
//!
//! A checkpoint may hold a state dict at its top or under nested keys (`model`, `state_dict`, `net`),
//! and in addition an optimizer's state, a best score, the state of a random number generator, an
//! exponential moving average (EMA). The names decide: tensors that name a part of SAM are grouped by
//! the prefix before it, and the group most likely to be the model is selected.

use super::entry::{ElementType, Entry};
use super::names::{split_at_part, unwrapped};
use std::collections::{BTreeMap, BTreeSet};

/// The entries to load.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Index of each entry and its name without prefix, in the file's key layout.
    pub(super) wanted: Vec<(usize, String)>,
    /// Notes on the selected and the skipped tensors, one line each.
    pub(super) notes: Vec<String>,
    /// Choices between copies of the model, which affect results.
    pub(super) warnings: Vec<String>,
    /// Two copies of the model that names do not rank, by their prefixes.
    pub(super) ambiguous: Option<[String; 2]>,
}

/// Tensors with the same prefix before SAM's names.
struct Group {
    prefix: String,
    /// Index, and name from the part of SAM on.
    members: Vec<(usize, String)>,
}

/// Last components of buffers that are not parameters.
const COUNTERS: [&str; 3] = ["num_batches_tracked", "n_averaged", "relative_position_index"];

/// Prefix words of copies of the model (EMA, teacher, SWA), which rank after all others.
const COPIES: [&str; 8] =
    ["ema", "model_ema", "ema_model", "teacher", "swa", "averaged", "momentum", "target"];

/// Prefix words of state dicts, the likeliest model first. Any other word ranks after them.
const WRAPPERS: [&str; 7] =
    ["model", "state_dict", "model_state_dict", "net", "network", "sam", "sam_model"];

/// Selects the model among `entries`.
pub(super) fn select(entries: &[Entry]) -> Selection {
    let mut groups: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    let mut others = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let name = unwrapped(&entry.name);
        match split_at_part(&name) {
            Some((prefix, parameter)) => {
                let group = groups.entry(prefix.to_owned()).or_default();
                group.push((index, parameter.to_owned()));
            }
            None => others.push((index, name)),
        }
    }
    let mut groups: Vec<Group> =
        groups.into_iter().map(|(prefix, members)| Group { prefix, members }).collect();
    if groups.is_empty() {
        return without_parts(entries, &others);
    }
    // The prefix is the last criterion, so that the order of tensors in the file never decides.
    groups.sort_by_cached_key(rank);
    let mut selection = Selection::default();
    let mut containers = BTreeSet::new();
    let mut taken: Vec<String> = Vec::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for group in groups {
        let label = shown(&group.prefix);
        // Parts of one model may have different prefixes; two copies of one part are two models.
        if group.members.iter().any(|(_, name)| names.contains(name)) {
            let count = group.members.len();
            let first = taken.first().map_or_else(String::new, |prefix| shown(prefix));
            if is_unknown(&group.prefix) && taken.first().is_some_and(|taken| is_unknown(taken)) {
                selection.ambiguous = Some([first, label]);
                return selection;
            }
            selection.warnings.push(format!(
                "it holds more than one copy of the model: {count} tensors {label} are not read, \
                 the copy {first} is"
            ));
            continue;
        }
        for (index, name) in group.members {
            containers.insert(container(entries, index));
            names.insert(name.clone());
            selection.wanted.push((index, name));
        }
        taken.push(group.prefix);
    }
    if taken.iter().any(|prefix| !prefix.is_empty()) {
        let shown: Vec<String> = taken.iter().map(|prefix| shown(prefix)).collect();
        selection.notes.insert(0, format!("the model is read {}", shown.join(" and ")));
    }
    let mut aside = Vec::new();
    for (index, name) in others {
        let beside = containers.contains(container(entries, index));
        // Parameters next to the model's are read too, so that the loader reports them as
        // unexpected.
        let own = taken.iter().find_map(|prefix| name.strip_prefix(prefix.as_str()));
        match own {
            Some(own) if beside && !is_bookkeeping(entries.get(index), own) => {
                selection.wanted.push((index, own.to_owned()));
            }
            _ => aside.push(name),
        }
    }
    aside.sort_unstable();
    selection.notes.extend(set_aside(&aside));
    selection
}

/// Selection in a file without any name of a part of SAM: its largest dictionary, for the loader to
/// report.
fn without_parts(entries: &[Entry], others: &[(usize, String)]) -> Selection {
    let mut containers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, _) in others {
        containers.entry(container(entries, *index)).or_default().push(*index);
    }
    let fullest = containers.into_iter().max_by_key(|(_, members)| members.len());
    let (container, members) = fullest.unwrap_or_default();
    let mut selection = Selection::default();
    for (index, _) in others {
        let entry = entries.get(*index);
        let own = entry.and_then(|e| e.name.get(container.len()..)).unwrap_or_default();
        let float = entry.is_some_and(|e| !matches!(e.element, ElementType::Other(_)));
        if float && members.contains(index) {
            selection.wanted.push((*index, unwrapped(own)));
        }
    }
    selection
}

fn container(entries: &[Entry], index: usize) -> &str {
    entries.get(index).and_then(|e| e.name.get(..e.container)).unwrap_or_default()
}

/// Whether a prefix identifies its state dict neither as the model nor as a copy of it.
fn is_unknown(prefix: &str) -> bool {
    let mut words = prefix.split('.').filter(|w| !w.is_empty());
    words.clone().next().is_some_and(|word| !WRAPPERS.contains(&word))
        && !words.any(|word| COPIES.contains(&word))
}

/// Sort key, the likeliest model first: with an image encoder, of many parts, no copy, under a usual
/// prefix, of many tensors.
fn rank(group: &Group) -> (bool, usize, bool, usize, usize, usize, String) {
    let parts: BTreeSet<&str> =
        group.members.iter().filter_map(|(_, n)| n.split('.').next()).collect();
    let encoder = parts.contains("image_encoder") || parts.contains("vision_encoder");
    let words: Vec<&str> = group.prefix.split('.').filter(|w| !w.is_empty()).collect();
    let is_copy = words.iter().any(|w| COPIES.contains(w));
    let wrapper = words
        .first()
        .map_or(0, |word| 1 + WRAPPERS.iter().position(|w| w == word).unwrap_or(WRAPPERS.len()));
    (
        !encoder,
        PARTS_AT_MOST - parts.len().min(PARTS_AT_MOST),
        is_copy,
        wrapper,
        words.len(),
        usize::MAX - group.members.len(),
        group.prefix.clone(),
    )
}

const PARTS_AT_MOST: usize = super::names::PARTS.len();

/// A prefix as the words of a message.
fn shown(prefix: &str) -> String {
    match prefix.strip_suffix('.') {
        None => "at the top".to_owned(),
        Some(prefix) => format!("under `{prefix}`"),
    }
}

/// Whether a tensor next to the model's is bookkeeping and not a parameter: a counter, a scalar, the
/// state of a random number generator.
fn is_bookkeeping(entry: Option<&Entry>, name: &str) -> bool {
    let Some(entry) = entry else {
        return true;
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let alone = entry.shape.iter().all(|d| *d == 1) && entry.shape.len() <= 1;
    COUNTERS.contains(&last) || alone || matches!(entry.element, ElementType::Other(_))
}

/// Whether a tensor within a part of the model is a buffer of its module and not a parameter.
pub(super) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| COUNTERS.contains(&last))
}

/// The note about skipped tensors.
fn set_aside(names: &[String]) -> Option<String> {
    const SHOWN: usize = 4;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty())
        .then(|| format!("not read, no part of the model: {}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::convert::Float;
    use super::*;

    fn entry(container: &str, key: &str) -> Entry {
        Entry {
            name: format!("{container}{key}"),
            container: container.len(),
            element: ElementType::Float(Float::F32),
            shape: vec![2, 3],
        }
    }

    fn scalar(container: &str, key: &str, element: ElementType) -> Entry {
        Entry { element, shape: Vec::new(), ..entry(container, key) }
    }

    fn names(entries: &[Entry]) -> Vec<String> {
        let mut names: Vec<String> = select(entries).wanted.into_iter().map(|w| w.1).collect();
        names.sort();
        names
    }

    #[test]
    fn a_state_dict_is_found_under_any_keys() {
        for container in ["", "model.", "state_dict.", "net.", "checkpoint.state_dict.", "params."]
        {
            let entries = [
                entry(container, "module.image_encoder.a"),
                entry(container, "mask_decoder.b"),
                scalar("", "best_dice", ElementType::Float(Float::F32)),
                entry("optimizer.state.", "exp_avg"),
            ];
            assert_eq!(names(&entries), ["image_encoder.a", "mask_decoder.b"], "{container}");
        }
    }

    #[test]
    fn each_part_may_be_a_dictionary() {
        let entries = [entry("image_encoder.", "a.weight"), entry("prompt_encoder.", "b")];
        assert_eq!(names(&entries), ["image_encoder.a.weight", "prompt_encoder.b"]);
    }

    #[test]
    fn of_two_copies_the_model_is_selected_and_the_other_reported() {
        for (first, second) in [("ema.", "model."), ("teacher.", "student."), ("a.", "model.")] {
            let entries = [entry(first, "image_encoder.a"), entry(second, "image_encoder.a")];
            let selection = select(&entries);
            assert_eq!(selection.wanted, [(1, "image_encoder.a".to_owned())], "{first} {second}");
            let warning = selection.warnings.join("; ");
            assert!(warning.contains(first.trim_end_matches('.')), "{warning}");
        }
        // Of two unknown prefixes neither ranks first.
        let entries =
            [entry("generator.", "image_encoder.a"), entry("discriminator.", "image_encoder.a")];
        let places = select(&entries).ambiguous.unwrap().join(" ");
        assert!(places.contains("`generator`") && places.contains("`discriminator`"), "{places}");
        // An EMA without another copy is the model.
        assert_eq!(names(&[entry("ema.", "image_encoder.a")]), ["image_encoder.a"]);
    }

    #[test]
    fn parts_with_different_prefixes_are_one_model() {
        let entries = [
            entry("state_dict.", "sam.image_encoder.a"),
            entry("state_dict.", "sam.prompt_encoder.b"),
            entry("state_dict.", "decoder.mask_decoder.c"),
        ];
        let expected = ["image_encoder.a", "mask_decoder.c", "prompt_encoder.b"];
        assert_eq!(names(&entries), expected);
    }

    #[test]
    fn tensors_next_to_the_model_are_loaded_unless_they_are_bookkeeping() {
        let long = || ElementType::Other("Long".to_owned());
        let entries = [
            entry("", "image_encoder.a"),
            scalar("", "n_averaged", long()),
            scalar("", "best_dice", ElementType::Float(Float::F32)),
            Entry { element: long(), ..entry("", "rng_state") },
            entry("", "head.weight"),
        ];
        assert_eq!(names(&entries), ["head.weight", "image_encoder.a"]);
        let notes = select(&entries).notes.join("; ");
        assert!(notes.contains("best_dice, n_averaged, rng_state"), "{notes}");
        // The losses of a Lightning module are not SAM's.
        let entries =
            [entry("state_dict.", "model.image_encoder.a"), entry("state_dict.", "loss.w")];
        assert_eq!(names(&entries), ["image_encoder.a"]);
    }

    #[test]
    fn files_without_a_part_of_sam_keep_their_names() {
        let entries =
            [entry("", "x"), entry("network_weights.", "a"), entry("network_weights.", "b")];
        assert_eq!(names(&entries), ["a", "b"]);
        assert!(names(&[]).is_empty());
    }
}
