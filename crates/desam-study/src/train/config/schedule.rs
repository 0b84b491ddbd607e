//! Learning-rate schedule: polynomial decay per epoch, and extension of a run to more epochs.

use super::TrainConfig;
use crate::train::WarmupPoly;
use serde::{Deserialize, Serialize};

/// Extension of a run to more epochs than it was started with.
///
/// The learning rate depends on the number of epochs. Epochs trained before the extension keep their
/// rates, and later ones follow the longer schedule, so an extended run differs from one that had as
/// many epochs from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Epochs done or in progress at the extension; they follow the shorter schedule.
    pub at: usize,
    /// Number of epochs of the run before the extension.
    pub epochs: usize,
}

impl TrainConfig {
    /// Learning rate of `epoch`, counted from 0, without a warm-up: polynomial decay ("poly" schedule),
    /// stepped each epoch.
    pub fn learning_rate_at(&self, epoch: usize) -> f64 {
        let left = 1.0 - epoch as f64 / self.epochs_of_decay(epoch) as f64;
        self.learning_rate * left.max(0.0).powf(self.decay_power)
    }

    /// Learning rate of a step, counted from 0 in `epoch`, where an epoch has `steps`: that of the epoch;
    /// with a warm-up by step, as [`WarmupPoly`].
    pub fn learning_rate_of_step(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        if self.warmup_steps == 0 {
            return self.learning_rate_at(epoch);
        }
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let schedule = WarmupPoly {
            base: self.learning_rate,
            warmup: self.warmup_steps,
            steps: number(self.epochs_of_decay(epoch).saturating_mul(steps)),
            power: self.decay_power,
        };
        schedule.rate(number(epoch.saturating_mul(steps).saturating_add(step)))
    }

    /// Epochs after which the decay ends, as it was when `epoch` was trained.
    fn epochs_of_decay(&self, epoch: usize) -> usize {
        let epochs = epochs_for(epoch, &self.extended).unwrap_or(self.epochs);
        self.decay_epochs.unwrap_or(epochs)
    }
}

/// Number of epochs of the run when `epoch`, counted from 0, was trained; `None` where that is the
/// current number.
fn epochs_for(epoch: usize, extended: &[Extension]) -> Option<usize> {
    extended.iter().find(|extension| epoch < extension.at).map(|extension| extension.epochs)
}

/// Checks that the extensions lead to `epochs`.
pub(super) fn check_extensions(extended: &[Extension], epochs: usize) -> Result<(), String> {
    let mut before = 0;
    for extension in extended {
        if extension.epochs <= before || extension.at > extension.epochs {
            return Err(format!("extended: {extension:?} cannot follow {before} epochs"));
        }
        before = extension.epochs;
    }
    if before >= epochs {
        return Err(format!("extended: from {before} epochs to {epochs}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Preset, TrainConfig};
    use desam::Mode;

    #[test]
    fn an_extension_changes_only_the_rates_of_later_epochs() {
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
