//! Conversion of stored element types to f32.

use half::{bf16, f16};

/// A floating point type in a file, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// Size of an element in bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Converts all elements in `bytes`; a remainder shorter than an element is ignored.
    pub(super) fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.iter().map(|b| f(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_what_it_can_hold() {
        let values = [1.5f32, -0.375, 0.0, 1024.0];
        let bytes =
            |f: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|v| f(*v)).collect::<Vec<_>>();
        let f16s = bytes(&|v| f16::from_f32(v).to_le_bytes().to_vec());
        let bf16s = bytes(&|v| bf16::from_f32(v).to_le_bytes().to_vec());
        let f64s = bytes(&|v| f64::from(v).to_le_bytes().to_vec());
        assert_eq!(Float::F16.to_f32(&f16s), values);
        assert_eq!(Float::Bf16.to_f32(&bf16s), values);
        assert_eq!(Float::F32.to_f32(&bytes(&|v| v.to_le_bytes().to_vec())), values);
        assert_eq!(Float::F64.to_f32(&f64s), values);
    }
}
