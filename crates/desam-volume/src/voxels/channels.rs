//! Multi-channel files: choosing one channel.

use crate::{Error, Result};
use std::path::Path;

/// Layout of the channels in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    /// Number of channels.
    pub(crate) count: u64,
    /// Values of one channel that lie next to each other: all voxels where channels follow each
    /// other, 1 where they are interleaved.
    pub(crate) block: u64,
}

impl Channels {
    /// One number a voxel.
    pub(crate) const ONE: Self = Self { count: 1, block: 1 };

    /// The channel `asked`, from 0; with `None` the only one.
    pub(super) fn choose(self, path: &Path, asked: Option<usize>) -> Result<Channel> {
        let Self { count, block } = self;
        let path = || path.to_path_buf();
        match asked {
            None if count > 1 => Err(Error::SeveralChannels { path: path(), channels: count }),
            Some(channel) if channel as u64 >= count => {
                Err(Error::NoSuchChannel { path: path(), channel, channels: count })
            }
            index => Ok(Channel { count, block: block.max(1), index: index.unwrap_or(0) as u64 }),
        }
    }
}

/// One channel of several.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    count: u64,
    block: u64,
    index: u64,
}

impl Channel {
    /// Whether the `at`-th value of the file belongs to this channel.
    pub(super) fn holds(self, at: u64) -> bool {
        self.count == 1 || at / self.block % self.count == self.index
    }

    /// Number of channels.
    pub(super) fn of(self) -> u64 {
        self.count
    }
}
