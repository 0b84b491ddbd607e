//! A training as it stands, to go on from.

use super::ema::Average;
use super::state::Position;
use super::{Adam, Moments, Trainer};
use crate::{Error, Result};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;

/// All that the next step depends on beside the configuration and the slices.
///
/// Its tensors are the trainer's own, which the next step changes: write or copy them before.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where the training stands.
    pub position: Position,
    /// Steps that the optimiser has taken.
    pub steps: u32,
    /// Parameters as `model.*`, Adam's moments as `adam.first.*` and `adam.second.*`, the running
    /// mean of the parameters, where one is kept, as `ema.*`.
    pub tensors: Tensors,
}

impl Snapshot {
    /// The tensors below `prefix`, without it.
    pub(super) fn part(&self, prefix: &str) -> Tensors {
        let named =
            self.tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(prefix)?, t)));
        named.map(|(name, t)| (name.to_owned(), t.clone())).collect()
    }
}

impl Trainer<'_> {
    /// All that the next step depends on.
    pub fn snapshot(&self) -> Snapshot {
        let vars = self.model.decoder.vars.iter();
        let model = vars.map(|(name, var)| (format!("model.{name}"), var.as_tensor().clone()));
        let moments = self.adam.moments().iter().flat_map(|(name, m)| {
            let (first, second) = (format!("adam.first.{name}"), format!("adam.second.{name}"));
            [(first, m.first.clone()), (second, m.second.clone())]
        });
        let means = self.average.iter().flat_map(|average| &average.tensors);
        let means = means.map(|(name, mean)| (format!("ema.{name}"), mean.clone()));
        let tensors = model.chain(moments).chain(means).collect();
        Snapshot { position: self.position.clone(), steps: self.steps(), tensors }
    }

    /// The parameters that validation looks at and that are worth saving: their running mean, where
    /// one is kept.
    pub fn parameters(&self) -> Tensors {
        let vars = self.model.decoder.vars.iter();
        match &self.average {
            Some(average) => average.tensors.clone(),
            None => vars.map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect(),
        }
    }

    /// Goes back, or forward, to where a snapshot was taken of a training with the same
    /// configuration.
    ///
    /// # Errors
    /// When the snapshot is of another model; the trainer is then as it was.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let vars = &self.model.decoder.vars;
        let parameters = self.fitting(snapshot, "model.", true)?;
        let mut second = self.fitting(snapshot, "adam.second.", false)?;
        let mut moments = BTreeMap::new();
        for (name, first) in self.fitting(snapshot, "adam.first.", false)? {
            let Some(second) = second.remove(&name) else {
                return Err(Error::Invalid(format!("no second moment of {name} was kept")));
            };
            moments.insert(name, Moments { first, second });
        }
        let average = self.config.ema.map(|decay| {
            Ok::<_, Error>(Average::restore(decay, self.fitting(snapshot, "ema.", true)?))
        });
        self.average = average.transpose()?;
        for (name, value) in &parameters {
            vars[name].set(value)?;
        }
        self.adam = Adam::restore(self.config.adam, snapshot.steps, moments);
        self.position = snapshot.position.clone();
        Ok(())
    }

    /// Copies of the snapshot's tensors below `prefix`, each of a parameter's shape; of `all`
    /// parameters, or of some.
    fn fitting(&self, snapshot: &Snapshot, prefix: &str, all: bool) -> Result<Tensors> {
        let vars = &self.model.decoder.vars;
        let mut part = snapshot.part(prefix);
        if let Some(name) = vars.keys().find(|name| all && !part.contains_key(*name)) {
            return Err(Error::Invalid(format!("{prefix}{name} was not kept")));
        }
        for (name, tensor) in &mut part {
            let expected = vars.get(name).map(|var| var.dims());
            if expected != Some(tensor.dims()) {
                let found = tensor.dims();
                let reason = format!("{prefix}{name} is {found:?}; the model has {expected:?}");
                return Err(Error::Invalid(reason));
            }
            *tensor = tensor.to_device(&self.device)?.copy()?;
        }
        Ok(part)
    }
}
