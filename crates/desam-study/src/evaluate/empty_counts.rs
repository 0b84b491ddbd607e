//! Cases with empty masks, in words.

use super::Evaluation;
use super::table::counted;
use desam_metrics::metric::{Empty, OneEmpty};

impl Evaluation {
    /// The number of cases with empty masks, and what they counted as; of several classes by class, since a
    /// missed class is one whatever else was found in the case.
    pub(crate) fn empty_counts(&self) -> String {
        let cases = counted(self.cases.len(), "case");
        let worst = self.one_empty_words();
        if !self.classes.is_several() {
            let [missed, invented, both] = counts(self.cases.iter().map(|case| case.empty()));
            return format!(
                "{cases}: {missed} missed, {invented} invented (each {worst}), {both} with nothing to \
                 find and nothing found (perfect)"
            );
        }
        let of_class = |(class, name): (usize, &str)| {
            let classes = self.cases.iter().filter_map(|case| case.classes.get(class));
            let [missed, invented, both] = counts(classes.map(|class| class.empty()));
            format!(
                "{name} {missed} missed, {invented} invented, {both} with nothing to find and nothing found"
            )
        };
        let classes: Vec<String> = self.classes.names().enumerate().map(of_class).collect();
        format!(
            "{cases}, by class: {} (a missed or invented class counts as {worst}, one with nothing to find \
             and nothing found as perfect)",
            classes.join("; ")
        )
    }

    /// What a case with one empty mask counts as.
    fn one_empty_words(&self) -> String {
        let distance = match self.empty_policy.one {
            OneEmpty::Diagonal => "the volume's diagonal in distances",
            OneEmpty::Infinite => "infinite in distances",
            OneEmpty::LeftOut => "left out of means of distances",
        };
        match self.metrics.as_slice() {
            [_] => "a Dice of 0".to_owned(),
            _ => format!("0 in overlap and surface Dice, {distance}"),
        }
    }
}

/// Missed, invented, and both empty.
fn counts(masks: impl Iterator<Item = Option<Empty>>) -> [usize; 3] {
    let mut counts = [0; 3];
    for empty in masks.flatten() {
        let [missed, invented, both] = &mut counts;
        *match empty {
            Empty::Prediction => missed,
            Empty::Truth => invented,
            Empty::Both => both,
        } += 1;
    }
    counts
}
