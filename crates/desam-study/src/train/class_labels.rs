//! Labels of classes among the cases of a split.

use crate::{Error, Result};
use desam_core::ClassTable;
use desam_data::cache::FeatureCache;

/// Checks that some cases, which are to be trained on, hold every class.
///
/// # Errors
/// [`Error::ClassMissing`] with the first class that they do not hold.
pub(crate) fn check_classes(
    cache: &FeatureCache,
    cases: &[usize],
    classes: &ClassTable,
) -> Result<()> {
    let found = cache.label_values(cases)?;
    let Some((name, labels)) = absent(classes, found.as_deref()).next() else { return Ok(()) };
    let (name, labels) = (name.to_owned(), labels.to_vec());
    let mut sites: Vec<String> = Vec::new();
    for case in cases.iter().filter_map(|case| cache.cases().get(*case)) {
        if !sites.contains(&case.site) {
            sites.push(case.site.clone());
        }
    }
    let (cache, found) = (cache.dir().to_owned(), found.unwrap_or_default());
    Err(Error::ClassMissing { cache, sites, name, labels, found })
}

/// A warning that names the classes that none of the held-out cases holds; `None` where there is none.
pub(super) fn unvalidated_classes(
    cache: &FeatureCache,
    held_out: &[usize],
    classes: &ClassTable,
) -> Result<Option<String>> {
    let found = cache.label_values(held_out)?;
    let absent: Vec<&str> = absent(classes, found.as_deref()).map(|(name, _)| name).collect();
    if absent.is_empty() {
        return Ok(None);
    }
    let case = |index: &usize| cache.cases().get(*index).map(|c| format!("{}/{}", c.site, c.id));
    let cases: Vec<String> = held_out.iter().filter_map(case).collect();
    Ok(Some(format!(
        "no held-out case has ground truth of class {}: the choice of the best epoch and the calibration \
         know nothing of it; hold out more cases, or others (held out: {})",
        absent.join(", "),
        cases.join(", ")
    )))
}

/// The classes with none of their labels among those found, with their labels. An older cache does not
/// say what it holds (`None`): its one foreground is a class of every label.
fn absent<'a>(
    classes: &'a ClassTable,
    found: Option<&'a [u8]>,
) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let named = classes.names().enumerate().map(|(n, name)| (name, classes.labels_of(n + 1)));
    named.filter(move |(_, labels)| {
        let is_found = |label: &u8| found.is_none_or(|found| found.contains(label));
        !labels.is_empty() && !labels.iter().any(is_found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_a_label_are_absent() {
        let table: ClassTable = "pz=1,gland=2+3,lesion=7".parse().unwrap();
        let names = |found: Option<&[u8]>| -> Vec<String> {
            absent(&table, found).map(|(name, _)| name.to_owned()).collect()
        };
        assert_eq!(names(Some(&[1, 3])), ["lesion"]);
        assert_eq!(names(Some(&[])), ["pz", "gland", "lesion"]);
        assert!(names(None).is_empty() && names(Some(&[1, 2, 7, 9])).is_empty());
        // The class of every label is never absent.
        assert_eq!(absent(&ClassTable::default(), Some(&[])).count(), 0);
    }
}
