//! Everything that decides the bits of the weights.

use std::fmt::{Display, Formatter};

/// The recipe; the default is that of the weights that ship. `seed=0 steady=… cooldown=…` on the
/// command line change it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recipe {
    /// Seed of the first weights and of all scenes.
    pub(crate) seed: u64,
    /// Steps at the full rate, those of the warm-up among them.
    pub(crate) steady: usize,
    /// Steps in which the rate falls to nothing along a cosine.
    pub(crate) cooldown: usize,
    /// First steps, in which the rate rises.
    pub(crate) warmup: usize,
    /// Scenes a step.
    pub(crate) batch: usize,
    /// Things asked for in a scene.
    pub(crate) objects: usize,
    /// Learning rate.
    pub(crate) rate: f64,
    /// Steps between two measurements, each of which may leave a checkpoint.
    pub(crate) every: usize,
    /// Scenes of such a measurement.
    pub(crate) scenes: usize,
    /// Where above 0: the cooldown starts in time to be done after so many minutes, whatever
    /// `steady` and `cooldown` say. The file then says what they came to.
    pub(crate) minutes: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 0,
            steady: 2377,
            cooldown: 1188,
            warmup: 100,
            batch: 4,
            objects: 6,
            rate: 1e-3,
            every: 200,
            scenes: 32,
            minutes: 0.0,
        }
    }
}

impl Recipe {
    /// The default with what the command line changes: `NAME=NUMBER` each.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut recipe = Self::default();
        for arg in args {
            let (name, value) =
                arg.split_once('=').ok_or(format!("{arg}: expected NAME=NUMBER"))?;
            let whole = || value.parse::<usize>().map_err(|e| format!("{arg}: {e}"));
            let real = || value.parse::<f64>().map_err(|e| format!("{arg}: {e}"));
            match name {
                "seed" => recipe.seed = whole()? as u64,
                "steady" => recipe.steady = whole()?,
                "cooldown" => recipe.cooldown = whole()?,
                "warmup" => recipe.warmup = whole()?,
                "batch" => recipe.batch = whole()?.max(1),
                "objects" => recipe.objects = whole()?.max(1),
                "rate" => recipe.rate = real()?,
                "every" => recipe.every = whole()?.max(1),
                "scenes" => recipe.scenes = whole()?.max(1),
                "minutes" => recipe.minutes = real()?,
                _ => return Err(format!("{arg}: the recipe has no {name}")),
            }
        }
        Ok(recipe)
    }

    /// All steps.
    pub(crate) fn steps(&self) -> usize {
        self.steady + self.cooldown
    }

    /// Learning rate of step `step`, counted from 0.
    pub(crate) fn rate(&self, step: usize) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        let cold = step.saturating_sub(self.steady) as f64 / self.cooldown.max(1) as f64;
        self.rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * cold.min(1.0)).cos())
    }
}

impl Display for Recipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { seed, steady, cooldown, warmup, batch, objects, rate, every, scenes, .. } = self;
        write!(
            f,
            "seed={seed} steady={steady} cooldown={cooldown} warmup={warmup} batch={batch} \
             objects={objects} rate={rate} every={every} scenes={scenes}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_stays_and_falls() {
        let recipe = Recipe { steady: 200, cooldown: 100, rate: 1.0, ..Recipe::default() };
        // Arithmetic: a hundredth a step, then 1, half of it halfway down, nothing at the end.
        assert!((recipe.rate(0) - 0.01).abs() < 1e-12 && (recipe.rate(49) - 0.5).abs() < 1e-12);
        assert_eq!((recipe.rate(100), recipe.rate(200)), (1.0, 1.0));
        assert!((recipe.rate(250) - 0.5).abs() < 1e-12 && recipe.rate(300) < 1e-12);
    }

    #[test]
    fn what_it_writes_it_reads() {
        let recipe = Recipe { seed: 7, steady: 3, cooldown: 2, rate: 2e-4, ..Recipe::default() };
        let words: Vec<String> = recipe.to_string().split(' ').map(str::to_owned).collect();
        assert_eq!(Recipe::parse(&words), Ok(recipe));
        for bad in ["steps", "steps=3", "seed=x", "rate="] {
            assert!(Recipe::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
