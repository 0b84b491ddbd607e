//! Voxel counts that overlap measures are made of.

use desam_core::{Error, Result};

/// Confusion matrix of a prediction and its truth, in voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Foreground in both.
    pub tp: u64,
    /// Foreground in the prediction alone.
    pub fp: u64,
    /// Foreground in the truth alone.
    pub fn_: u64,
    /// Foreground in neither.
    pub tn: u64,
}

/// Voxels summed in 32 bits before they are added to the 64-bit counts: small enough not to
/// overflow, large enough that the compiler vectorises the inner loop.
const CHUNK: usize = 1 << 16;

impl Confusion {
    /// Counts one piece, voxel by voxel, foreground above zero.
    ///
    /// # Errors
    /// When the two have different lengths.
    pub fn count(prediction: &[u8], truth: &[u8]) -> Result<Self> {
        if prediction.len() != truth.len() {
            return Err(Error::shape(
                "prediction voxels, as many as the truth has",
                truth.len(),
                prediction.len(),
            ));
        }
        let (mut tp, mut predicted, mut present) = (0u64, 0u64, 0u64);
        for (p, t) in prediction.chunks(CHUNK).zip(truth.chunks(CHUNK)) {
            let (mut both, mut p_sum, mut t_sum) = (0u32, 0u32, 0u32);
            for (&p, &t) in p.iter().zip(t) {
                let (p, t) = (u32::from(p > 0), u32::from(t > 0));
                both += p & t;
                p_sum += p;
                t_sum += t;
            }
            tp += u64::from(both);
            predicted += u64::from(p_sum);
            present += u64::from(t_sum);
        }
        let (fp, fn_) = (predicted - tp, present - tp);
        Ok(Self { tp, fp, fn_, tn: truth.len() as u64 - tp - fp - fn_ })
    }

    /// Dice with smoothing, `(2 tp + s) / (predicted + present + s)`: 1 where both masks are empty. DAPSAM
    /// scores with `s = 1e-6`; [`Overlap::Dice`](super::Overlap::Dice) has none.
    pub fn smoothed_dice(&self, smoothing: f64) -> f64 {
        let sizes = (self.predicted() + self.present()) as f64;
        (2.0 * self.tp as f64 + smoothing) / (sizes + smoothing)
    }

    /// Foreground in the prediction.
    pub fn predicted(&self) -> u64 {
        self.tp + self.fp
    }

    /// Foreground in the truth.
    pub fn present(&self) -> u64 {
        self.tp + self.fn_
    }

    /// All voxels.
    pub fn total(&self) -> u64 {
        self.predicted() + self.fn_ + self.tn
    }
}

impl std::ops::AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
        self.tn += other.tn;
    }
}

impl std::iter::Sum for Confusion {
    fn sum<I: Iterator<Item = Self>>(pieces: I) -> Self {
        pieces.fold(Self::default(), |mut all, piece| {
            all += piece;
            all
        })
    }
}
