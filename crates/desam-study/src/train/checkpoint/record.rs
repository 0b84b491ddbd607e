//! The record of a checkpoint: everything that is not a tensor, as JSON.

use crate::train::state::{LossSums, TrainProgress};
use crate::train::{EpochRecord, RunConfig, RunManifest, TrainState};
use crate::{Error, Result};
use desam_nn::params::Tensors;
use serde::{Deserialize, Serialize};

/// Identity of the run that a checkpoint belongs to, by hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::train) struct CheckpointKey {
    /// blake3 of the configuration without the number of epochs, which may grow.
    config_blake3: String,
    /// The feature cache's key.
    cache_key: String,
    /// blake3 of the file of frozen weights.
    weights_blake3: String,
    /// blake3 of the checkpoint that the decoder started from, where one was given.
    init_blake3: Option<String>,
}

impl CheckpointKey {
    pub(in crate::train) fn new(config: &RunConfig, manifest: &RunManifest) -> Result<Self> {
        let fixed = serde_json::to_string(&config.without_length())
            .map_err(|e| Error::Invalid(format!("the configuration cannot be written: {e}")))?;
        Ok(Self {
            config_blake3: blake3::hash(fixed.as_bytes()).to_hex().to_string(),
            cache_key: manifest.cache_key.clone(),
            weights_blake3: manifest.weights.blake3.clone(),
            init_blake3: manifest.init.as_ref().map(|file| file.blake3.clone()),
        })
    }
}

/// An f64 stored as its bits in hexadecimal, since not every parser reads decimal digits exactly.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct ExactF64(f64);

impl From<ExactF64> for String {
    fn from(value: ExactF64) -> Self {
        format!("{:016x}", value.0.to_bits())
    }
}

impl TryFrom<String> for ExactF64 {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(|bits| Self(f64::from_bits(bits)))
    }
}

/// An [`EpochRecord`]: its epoch, its numbers in the order of its fields, and whether it was the best.
type Row = (usize, [ExactF64; 6], bool);

fn to_row(r: &EpochRecord) -> Row {
    let numbers = [
        r.learning_rate,
        r.train_loss,
        r.train_dice_loss,
        r.validation_loss,
        r.validation_dice_loss,
        r.validation_dice,
    ];
    (r.epoch, numbers.map(ExactF64), r.best)
}

fn from_row(row: Row) -> EpochRecord {
    let (epoch, [rate, loss, dice, v_loss, v_dice_loss, v_dice], best) = row;
    EpochRecord {
        epoch,
        learning_rate: rate.0,
        train_loss: loss.0,
        train_dice_loss: dice.0,
        validation_loss: v_loss.0,
        validation_dice_loss: v_dice_loss.0,
        validation_dice: v_dice.0,
        best,
    }
}

/// Everything of a checkpoint that is not a tensor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointRecord {
    #[serde(rename = "seal")]
    pub(super) key: CheckpointKey,
    epoch: usize,
    step: usize,
    #[serde(rename = "optimiser_steps")]
    steps: u32,
    /// Sums over the slices of the epoch in progress: total loss, Dice loss.
    losses: [ExactF64; 2],
    slices: usize,
    history: Vec<Row>,
}

impl CheckpointRecord {
    pub(super) fn of(state: &TrainState, key: &CheckpointKey) -> Self {
        let TrainProgress { epoch, step, losses, history } = &state.progress;
        Self {
            key: key.clone(),
            epoch: *epoch,
            step: *step,
            steps: state.steps,
            losses: [losses.total, losses.dice].map(ExactF64),
            slices: losses.slices,
            history: history.iter().map(to_row).collect(),
        }
    }

    pub(super) fn with(self, tensors: Tensors) -> TrainState {
        let [total, dice] = self.losses.map(|x| x.0);
        let progress = TrainProgress {
            epoch: self.epoch,
            step: self.step,
            losses: LossSums { total, dice, slices: self.slices },
            history: self.history.into_iter().map(from_row).collect(),
        };
        TrainState { progress, steps: self.steps, tensors }
    }
}
