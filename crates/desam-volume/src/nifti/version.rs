//! The two versions of the format.

/// The version of the format, which decides the layout of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Bytes of a header of version 1.
pub(super) const HEADER_BYTES: usize = 348;
/// Bytes of a header of version 2.
pub(super) const HEADER_2_BYTES: usize = 540;

impl Version {
    /// Bytes of the header proper.
    pub(super) fn header_bytes(self) -> usize {
        match self {
            Self::One => HEADER_BYTES,
            Self::Two => HEADER_2_BYTES,
        }
    }

    /// The first byte at which the voxels of a single file may start: after the header and four
    /// extension flags.
    pub(super) fn data_start(self) -> u64 {
        self.header_bytes() as u64 + 4
    }

    /// The largest dimension that a header can hold.
    pub(super) fn largest_dim(self) -> usize {
        match self {
            Self::One => i16::MAX as usize,
            Self::Two => u32::MAX as usize,
        }
    }

    /// The magic of a single file, and of a pair's header.
    pub(super) fn magics(self) -> [&'static [u8]; 2] {
        match self {
            Self::One => [b"n+1\0", b"ni1\0"],
            Self::Two => [b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"],
        }
    }
}
