//! How well a model's confidence tells good masks from bad ones.

use super::{CaseScore, Evaluation};
use desam_metrics::statistics::spearman;

/// Fewest cases whose ranks are compared.
const LEAST_CASES: usize = 4;

impl Evaluation {
    /// The confidence of the scored cases beside their Dice, in one line; `None` where no case has one.
    pub(crate) fn confidence_line(&self) -> Option<String> {
        let rated = |case: &CaseScore| Some((case.confidence?, case.dice));
        let (confidence, dice): (Vec<f64>, Vec<f64>) = self.cases.iter().filter_map(rated).unzip();
        let [expected, found] = [&confidence, &dice].map(|v| super::summarise::mean(v));
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let ranks =
            if confidence.len() < LEAST_CASES { None } else { spearman(&confidence, &dice) };
        let ranks =
            ranks.map_or_else(String::new, |r| format!(", rank correlation with Dice {r:.2}"));
        Some(format!(
            "the confidence expects a Dice of {}, found {} ({}{ranks})",
            percent(expected?),
            percent(found?),
            super::counted(confidence.len(), "case"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::evaluate::tests::evaluation;

    #[test]
    fn confidence_stands_beside_dice() {
        let mut scores = evaluation();
        assert_eq!(scores.confidence_line(), None);
        // Dice 0, 0.8, 0.9 and 0.8. By hand: ranks 1, 2.5, 4, 2.5 against 1, 3, 4, 2: of sums of products
        // of centred ranks 4.5, 4.5 and 5, 4.5 / sqrt(4.5 · 5).
        for (case, confidence) in scores.cases.iter_mut().zip([0.2, 0.7, 0.9, 0.6]) {
            case.confidence = Some(confidence);
        }
        let line = scores.confidence_line().unwrap();
        for words in
            ["expects a Dice of 60.0 %, found 62.5 %", "4 cases", "correlation with Dice 0.95"]
        {
            assert!(line.contains(words), "{words}: {line}");
        }
    }
}
