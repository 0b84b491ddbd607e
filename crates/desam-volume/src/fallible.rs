//! Fallible allocation: a volume that does not fit in memory is an error instead of an abort.

use crate::{Error, Result};

/// An empty vector with room for `len` values.
pub fn with_capacity<T>(len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
    values.try_reserve_exact(len).map_err(|_| Error::Allocation { bytes })?;
    Ok(values)
}

/// `len` copies of `value`.
pub fn filled<T: Clone>(value: T, len: usize) -> Result<Vec<T>> {
    let mut values = with_capacity(len)?;
    values.resize(len, value);
    Ok(values)
}

/// A copy of a slice.
pub fn copied<T: Copy>(from: &[T]) -> Result<Vec<T>> {
    collected(from.len(), from.iter().copied())
}

/// The values of an iterator of at most `len`.
pub fn collected<T>(len: usize, from: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let mut values = with_capacity(len)?;
    values.extend(from.into_iter().take(len));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_an_error() {
        for len in [usize::MAX, isize::MAX as usize / 8] {
            let error = filled(1.0_f64, len).unwrap_err();
            assert!(matches!(error, Error::Allocation { .. }), "{error}");
        }
        assert_eq!(filled(7_u8, 3).unwrap(), [7; 3]);
        assert_eq!(copied(&[1, 2]).unwrap(), [1, 2]);
        assert_eq!(collected(2, 0..9).unwrap(), [0, 1]);
    }
}
