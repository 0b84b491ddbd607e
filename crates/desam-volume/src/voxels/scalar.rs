//! Scalar types of stored voxels.

/// The scalar type of a voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Scalar {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whole voxels to numbers.
    pub(crate) fn decode(self, big_endian: bool, bytes: &[u8]) -> impl Iterator<Item = f64> + '_ {
        bytes.chunks_exact(self.bytes()).map(move |b| {
            let mut le = [0; 8];
            le[..b.len()].copy_from_slice(b);
            if big_endian {
                le[..b.len()].reverse();
            }
            let whole = u64::from_le_bytes(le);
            match self {
                Self::U8 | Self::U16 | Self::U32 | Self::U64 => whole as f64,
                Self::I8 => f64::from(whole as u8 as i8),
                Self::I16 => f64::from(whole as u16 as i16),
                Self::I32 => f64::from(whole as u32 as i32),
                Self::I64 => whole as i64 as f64,
                Self::F32 => f64::from(f32::from_bits(whole as u32)),
                Self::F64 => f64::from_bits(whole),
            }
        })
    }
}
