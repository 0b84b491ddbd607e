//! Random draws, each from a separate ChaCha stream.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for: scenes to learn from and scenes to be measured on never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Learning.
    Training,
    /// Choosing the checkpoint.
    HeldOut,
    /// Measuring the one that was chosen.
    Test,
}

/// The generator of scene `index`: no draw depends on another scene's.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((index << 2) | purpose as u64);
    rng
}

/// Uniform in `from..to`.
pub(crate) fn uniform(rng: &mut ChaCha8Rng, from: f32, to: f32) -> f32 {
    from + (to - from) * rng.random::<f32>()
}

/// Between `from` and `to`, each doubling as likely as any other.
pub(crate) fn scaled(rng: &mut ChaCha8Rng, from: f32, to: f32) -> f32 {
    uniform(rng, from.ln(), to.ln()).exp()
}

/// True with probability `p`.
pub(crate) fn chance(rng: &mut ChaCha8Rng, p: f32) -> bool {
    rng.random::<f32>() < p
}

/// Either sign.
pub(crate) fn sign(rng: &mut ChaCha8Rng) -> f32 {
    if chance(rng, 0.5) { 1.0 } else { -1.0 }
}

/// Nearly normal, of mean 0 and deviation 1, never beyond 3.5: the sum of four uniform numbers.
pub(crate) fn bell(rng: &mut ChaCha8Rng) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.random::<f32>()).sum();
    (sum - 2.0) * 3f32.sqrt()
}
