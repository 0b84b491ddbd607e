//! Learning-rate schedule of DAPSAM and SAMed: linear warm-up, then polynomial decay, by step.

/// Learning rate that rises linearly for `warmup` steps and then decays as a polynomial ("poly"
/// schedule).
///
/// The official programs set the rate after a step, for the next one: step 0 has the rate of step 1,
/// and decay counts from step `warmup + 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmupPoly {
    /// The highest rate.
    pub base: f64,
    /// Steps of the warm-up; 250 in both programs.
    pub warmup: u32,
    /// Steps of the decay to 0. Both programs stop before its end.
    pub steps: u32,
    /// Power of the decay; 0.9 in both programs.
    pub power: f64,
}

impl WarmupPoly {
    /// DAPSAM's schedule over `steps`: base rate 5e-4. SAMed's base rate is ten times that.
    pub fn dapsam(steps: u32) -> Self {
        Self { base: 5e-4, warmup: 250, steps, power: 0.9 }
    }

    /// Rate of `step`, counted from 0; 0 after the end of the decay.
    pub fn rate(&self, step: u32) -> f64 {
        if step <= self.warmup {
            let warm = f64::from(step.max(1)) / f64::from(self.warmup.max(1));
            return self.base * warm.min(1.0);
        }
        let decayed = f64::from(step - self.warmup - 1) / f64::from(self.steps.max(1));
        self.base * (1.0 - decayed).max(0.0).powf(self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_the_official_program() {
        // Step 0 and 1: base / 250; step k to 250: base · k / 250; from step 251 on
        // base · (1 − (k − 251) / T)^0.9.
        let schedule = WarmupPoly::dapsam(50_000);
        for (step, expected) in [
            (0, 5e-4 / 250.0),
            (1, 5e-4 / 250.0),
            (125, 2.5e-4),
            (250, 5e-4),
            (251, 5e-4),
            (25_251, 5e-4 * 0.5f64.powf(0.9)),
            (50_251, 0.0),
            (60_000, 0.0),
        ] {
            assert!((schedule.rate(step) - expected).abs() < 1e-18, "{step}");
        }
        // Without a warm-up or steps nothing is divided by zero.
        let none = WarmupPoly { warmup: 0, steps: 0, ..schedule };
        assert!((0..3).all(|step| none.rate(step).is_finite()));
    }
}
