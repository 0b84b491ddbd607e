//! Check for NaN and infinities. A single NaN among the weights makes every mask empty.

use crate::{Error, Result};
use candle_core::Tensor;
use std::path::Path;

/// Values checked between two branches: long enough to vectorise, short enough for the L1 cache.
const CHUNK: usize = 4096;

/// Refuses an f32 tensor on the CPU that holds NaN or an infinity.
///
/// # Errors
/// [`Error::NotFinite`], with the number of such values and the first.
pub(super) fn check_finite(path: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    let (candle_core::Storage::Cpu(storage), Some((from, to))) =
        (&*storage, layout.contiguous_offsets())
    else {
        return Ok(());
    };
    let numbers = storage.as_slice::<f32>()?.get(from..to).unwrap_or_default();
    let Some(first) = first_non_finite(numbers) else {
        return Ok(());
    };
    Err(Error::NotFinite {
        path: path.to_owned(),
        tensor: name.to_owned(),
        value: numbers.get(first).copied().unwrap_or(f32::NAN),
        index: first,
        bad: numbers.iter().filter(|n| !n.is_finite()).count(),
        count: numbers.len(),
    })
}

fn first_non_finite(numbers: &[f32]) -> Option<usize> {
    // Without a branch inside a chunk the compiler vectorises the test. All exponent bits set means
    // NaN or infinity.
    let is_bad = |n: &f32| n.to_bits() & 0x7f80_0000 == 0x7f80_0000;
    let bad = numbers.chunks(CHUNK).position(|c| c.iter().fold(false, |bad, n| bad | is_bad(n)))?;
    let chunk = numbers.get(bad * CHUNK..)?;
    Some(bad * CHUNK + chunk.iter().position(is_bad)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_that_is_not_finite_is_found_wherever_it_is() {
        for length in [1, 7, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let finite = vec![f32::MAX; length];
            assert_eq!(first_non_finite(&finite), None);
            for at in [0, length / 2, length - 1] {
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut numbers = finite.clone();
                    numbers[at] = bad;
                    assert_eq!(first_non_finite(&numbers), Some(at), "{length} {at} {bad}");
                }
            }
        }
        assert_eq!(first_non_finite(&[0.0, -0.0, f32::MIN_POSITIVE / 2.0, f32::MIN]), None);
        assert_eq!(first_non_finite(&[]), None);
    }
}
