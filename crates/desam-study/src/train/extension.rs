//! A run that grew.

use serde::{Deserialize, Serialize};

/// A run that was continued for more epochs than it had been begun with.
///
/// Learning rates depend on the number of epochs. What was trained before keeps the rates that it
/// had, and the later epochs follow the longer schedule from there: an extended run is not the run
/// that had as many epochs from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Epochs that were done or begun by then: they follow the shorter schedule.
    pub at: usize,
    /// How many epochs the run was to have until then.
    pub epochs: usize,
}

/// How many epochs the run was to have when `epoch`, counted from 0, was trained; `None` where that
/// is what it has now.
pub(super) fn epochs_for(epoch: usize, extended: &[Extension]) -> Option<usize> {
    extended.iter().find(|extension| epoch < extension.at).map(|extension| extension.epochs)
}

/// Checks that a run can have grown so, to `epochs`.
pub(super) fn check(extended: &[Extension], epochs: usize) -> Result<(), String> {
    let mut before = 0;
    for extension in extended {
        if extension.epochs <= before || extension.at > extension.epochs {
            return Err(format!("extended: {extension:?} cannot follow {before} epochs"));
        }
        before = extension.epochs;
    }
    match before < epochs {
        true => Ok(()),
        false => Err(format!("extended: from {before} epochs to {epochs}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Preset, TrainConfig};
    use desam::Mode;

    #[test]
    fn an_extension_changes_the_rates_of_what_is_to_come_alone() {
        let paper = TrainConfig::preset(Preset::Paper, "A", Mode::Points);
        // (1 - epoch/epochs)^0.9 with the number of epochs that held when the epoch began.
        let extended = vec![Extension { at: 3, epochs: 4 }];
        let config = TrainConfig { epochs: 8, extended, ..paper.clone() };
        config.validate().unwrap();
        let rate = |left: f64| 1e-4 * left.powf(0.9);
        let rates: Vec<f64> = (0..5).map(|e| config.learning_rate_at(e)).collect();
        let expected = [1.0, 0.75, 0.5, 0.625, 0.5].map(rate);
        assert_eq!(rates, expected);
        for (at, epochs) in [(3, 8), (5, 4), (0, 0)] {
            let extended = vec![Extension { at, epochs }];
            let wrong = TrainConfig { extended, ..config.clone() }.validate().unwrap_err();
            assert!(wrong.to_string().contains("extended"), "{wrong}");
        }
    }
}
