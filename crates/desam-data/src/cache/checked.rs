//! Checksum verification of cache files, once per file.

use super::{Entry, FeatureDtype, TensorSpec};
use crate::Result;
use half::f16;
use std::sync::atomic::{AtomicBool, Ordering};

/// One flag for each file. A file is read whole and verified when it is first used; reading it again,
/// as in every epoch of training, does not verify it again. Threads that use a file at the same time
/// may both verify it.
#[derive(Debug)]
pub(super) struct VerifiedFiles(Vec<AtomicBool>);

impl VerifiedFiles {
    pub(super) fn new(files: usize) -> Self {
        Self((0..files).map(|_| AtomicBool::new(false)).collect())
    }

    /// Runs `check` unless it has passed for this file before.
    pub(super) fn once(&self, file: usize, check: impl FnOnce() -> Result<()>) -> Result<()> {
        let flag = self.0.get(file);
        if flag.is_some_and(|passed| passed.load(Ordering::Relaxed)) {
            return Ok(());
        }
        check()?;
        if let Some(passed) = flag {
            passed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A non-finite stored value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NotFinite {
    pub(crate) tensor: String,
    pub(crate) element: usize,
    pub(crate) value: f32,
}

/// The first non-finite value of a slice's features.
pub(crate) fn not_finite(
    entry: &Entry,
    tensors: &[TensorSpec],
    dtype: FeatureDtype,
) -> Result<Option<NotFinite>> {
    for (index, spec) in tensors.iter().enumerate() {
        if let Some((element, value)) = first_not_finite(entry.bytes(index)?, dtype) {
            return Ok(Some(NotFinite { tensor: spec.name.clone(), element, value }));
        }
    }
    Ok(None)
}

/// Values checked together; a loop of this length without a branch is vectorised.
const BLOCK: usize = 4096;

fn first_not_finite(bytes: &[u8], dtype: FeatureDtype) -> Option<(usize, f32)> {
    match dtype {
        FeatureDtype::F16 => {
            let all = bytes.as_chunks::<2>().0;
            let element = first(all, |v| u16::from_le_bytes(v) & 0x7c00 == 0x7c00)?;
            Some((element, f16::from_le_bytes(*all.get(element)?).to_f32()))
        }
        FeatureDtype::F32 => {
            let all = bytes.as_chunks::<4>().0;
            let element = first(all, |v| u32::from_le_bytes(v) & 0x7f80_0000 == 0x7f80_0000)?;
            Some((element, f32::from_le_bytes(*all.get(element)?)))
        }
    }
}

/// The first element with all bits of its exponent set.
fn first<const N: usize>(all: &[[u8; N]], is_odd: impl Fn([u8; N]) -> bool) -> Option<usize> {
    for (block, values) in all.chunks(BLOCK).enumerate() {
        if values.iter().fold(false, |any, &v| any | is_odd(v)) {
            let within = values.iter().position(|&v| is_odd(v))?;
            return Some(block * BLOCK + within);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn the_first_number_that_is_not_finite_is_found() {
        for length in [1, 4095, 4096, 4097, 9000] {
            let values: Vec<f32> = (0..length).map(|n| n as f32 - 4000.0).collect();
            let halves = |v: &[f32]| -> Vec<u8> {
                v.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
            };
            let singles =
                |v: &[f32]| -> Vec<u8> { v.iter().flat_map(|v| v.to_le_bytes()).collect() };
            assert_eq!(first_not_finite(&halves(&values), FeatureDtype::F16), None);
            assert_eq!(first_not_finite(&singles(&values), FeatureDtype::F32), None);
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = values.clone();
                let last = values.len() - 1;
                values[last] = odd;
                for (bytes, dtype) in
                    [(halves(&values), FeatureDtype::F16), (singles(&values), FeatureDtype::F32)]
                {
                    let (element, value) = first_not_finite(&bytes, dtype).unwrap();
                    assert_eq!(element, last);
                    assert_eq!(value.is_nan(), odd.is_nan());
                    assert!(value.is_nan() || value == odd);
                }
            }
        }
        // IEEE 754: the largest finite and the subnormal numbers are finite.
        let ends = [f32::MAX, f32::MIN, f32::from_bits(1), -0.0];
        let bytes: Vec<u8> = ends.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(first_not_finite(&bytes, FeatureDtype::F32), None);
        let ends = [f16::MAX, f16::MIN, f16::from_bits(1)];
        let bytes: Vec<u8> = ends.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(first_not_finite(&bytes, FeatureDtype::F16), None);
    }

    #[test]
    fn a_file_that_passed_is_not_checked_again_and_one_that_failed_is() {
        let checked = VerifiedFiles::new(2);
        let never = || -> Result<()> { panic!("checked twice") };
        checked.once(0, || Ok(())).unwrap();
        checked.once(0, never).unwrap();
        for _ in 0..2 {
            let failed = checked.once(1, || Err(Error::CacheRecipe("no".into())));
            assert!(failed.is_err());
        }
        checked.once(1, || Ok(())).unwrap();
        checked.once(1, never).unwrap();
    }
}
