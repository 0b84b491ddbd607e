//! Images as a product reads them.

use std::ops::Range;

/// Images that are read row by row, with whatever is done to them on the way: a rearrangement, a
/// norm, a rectifier. Nothing of it is kept.
pub(crate) trait Source: Sync {
    /// Sizes.
    fn planes(&self) -> Planes;

    /// Writes row `row` of channel `channel` of image `image` into `out`, which is one row long.
    fn read(&self, at: At, out: &mut [f32]);

    /// The same for rows that follow each other, as many as fill `out`, without gaps.
    fn read_rows(&self, at: At, out: &mut [f32]) {
        let lines = out.chunks_exact_mut(self.planes().width.max(1));
        lines.enumerate().for_each(|(y, line)| self.read(At { row: at.row + y, ..at }, line));
    }
}

/// Where a row is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) image: usize,
    pub(crate) channel: usize,
    pub(crate) row: usize,
}

/// `[images, channels, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planes {
    pub(crate) images: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Planes {
    /// Numbers in one channel.
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Where a row begins.
    pub(crate) fn index(&self, at: At) -> usize {
        ((at.image * self.channels + at.channel) * self.height + at.row) * self.width
    }
}

/// The neighbours that a product looks at: a `side × side` square around each pixel, zeros beyond
/// the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) side: usize,
}

impl Window {
    /// Pixels on each side of the middle.
    pub(crate) fn margin(&self) -> usize {
        self.side / 2
    }

    /// Numbers of the square.
    pub(crate) fn taps(&self) -> usize {
        self.side * self.side
    }
}

/// Images as they lie in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) planes: Planes,
}

impl Source for Plain<'_> {
    fn planes(&self) -> Planes {
        self.planes
    }

    fn read(&self, at: At, out: &mut [f32]) {
        let begin = self.planes.index(at);
        out.copy_from_slice(&self.values[begin..begin + self.planes.width]);
    }

    fn read_rows(&self, at: At, out: &mut [f32]) {
        let begin = self.planes.index(at);
        out.copy_from_slice(&self.values[begin..begin + out.len()]);
    }
}

/// Two images whose channels follow each other, without a copy of either.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined<'a> {
    pub(crate) first: Plain<'a>,
    pub(crate) second: Plain<'a>,
}

impl Source for Joined<'_> {
    fn planes(&self) -> Planes {
        let Planes { channels, .. } = self.second.planes;
        Planes { channels: self.first.planes.channels + channels, ..self.first.planes }
    }

    fn read(&self, at: At, out: &mut [f32]) {
        match at.channel.checked_sub(self.first.planes.channels) {
            None => self.first.read(at, out),
            Some(channel) => self.second.read(At { channel, ..at }, out),
        }
    }

    fn read_rows(&self, at: At, out: &mut [f32]) {
        match at.channel.checked_sub(self.first.planes.channels) {
            None => self.first.read_rows(at, out),
            Some(channel) => self.second.read_rows(At { channel, ..at }, out),
        }
    }
}

/// Rows of one image with their margins, in a buffer of its own.
#[derive(Debug, Clone)]
pub(super) struct Band {
    pub(super) image: usize,
    /// Output rows.
    pub(super) rows: Range<usize>,
    pub(super) window: Window,
}

impl Band {
    /// Rows in the buffer.
    pub(super) fn height(&self) -> usize {
        self.rows.len() + 2 * self.window.margin()
    }

    /// The image's row that buffer row `y` holds, if it is inside the image.
    pub(super) fn source_row(&self, y: usize, planes: Planes) -> Option<usize> {
        let row = (self.rows.start + y).checked_sub(self.window.margin())?;
        (row < planes.height).then_some(row)
    }
}
