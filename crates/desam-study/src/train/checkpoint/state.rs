//! All of a checkpoint that is no tensor, as JSON.

use crate::train::state::{LossSums, Position};
use crate::train::{EpochRecord, RunConfig, RunManifest, Snapshot};
use crate::{Error, Result};
use desam_nn::params::Tensors;
use serde::{Deserialize, Serialize};

/// What a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::train) struct Seal {
    /// blake3 of the configuration, but for the number of epochs, which may grow.
    config_blake3: String,
    /// The feature cache's key.
    cache_key: String,
    /// blake3 of the file of frozen weights.
    weights_blake3: String,
    /// blake3 of the file that the decoder started from, where one was named.
    init_blake3: Option<String>,
}

impl Seal {
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

/// An f64 by its bits in hexadecimal: decimal digits do not survive every parser.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Exact(f64);

impl From<Exact> for String {
    fn from(value: Exact) -> Self {
        format!("{:016x}", value.0.to_bits())
    }
}

impl TryFrom<String> for Exact {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(|bits| Self(f64::from_bits(bits)))
    }
}

/// The numbers of an [`EpochRecord`] in the order of its fields, and whether it was the best.
type Row = (usize, [Exact; 6], bool);

fn to_row(r: &EpochRecord) -> Row {
    let numbers = [
        r.learning_rate,
        r.train_loss,
        r.train_dice_loss,
        r.validation_loss,
        r.validation_dice_loss,
        r.validation_dice,
    ];
    (r.epoch, numbers.map(Exact), r.best)
}

fn from_row((epoch, [rate, loss, dice, v_loss, v_dice_loss, v_dice], best): Row) -> EpochRecord {
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

/// All of a checkpoint that is no tensor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) seal: Seal,
    epoch: usize,
    step: usize,
    optimiser_steps: u32,
    /// Sums over the slices of the epoch in progress: total loss, Dice loss.
    losses: [Exact; 2],
    slices: usize,
    history: Vec<Row>,
}

impl State {
    pub(super) fn of(snapshot: &Snapshot, seal: &Seal) -> Self {
        let Position { epoch, step, losses, history } = &snapshot.position;
        Self {
            seal: seal.clone(),
            epoch: *epoch,
            step: *step,
            optimiser_steps: snapshot.steps,
            losses: [losses.total, losses.dice].map(Exact),
            slices: losses.slices,
            history: history.iter().map(to_row).collect(),
        }
    }

    pub(super) fn with(self, tensors: Tensors) -> Snapshot {
        let [total, dice] = self.losses.map(|x| x.0);
        let position = Position {
            epoch: self.epoch,
            step: self.step,
            losses: LossSums { total, dice, slices: self.slices },
            history: self.history.into_iter().map(from_row).collect(),
        };
        Snapshot { position, steps: self.optimiser_steps, tensors }
    }
}
