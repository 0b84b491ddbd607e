//! Image sources: what a convolution reads its input from, row by row.

/// Images that are read row by row. An implementation may transform a row while it is read
/// (rearrange, normalise, rectify, concatenate), so that the transformed image is never stored.
pub(crate) trait ImageSource: Sync {
    /// Sizes of the images.
    fn planes(&self) -> ImageDims;

    /// Writes the row at `at` into `out`, which is one row long.
    fn read(&self, at: RowIndex, out: &mut [f32]);

    /// Writes consecutive rows, as many as fill `out`, without gaps.
    fn read_rows(&self, at: RowIndex, out: &mut [f32]) {
        let lines = out.chunks_exact_mut(self.planes().width.max(1));
        lines.enumerate().for_each(|(y, line)| self.read(RowIndex { row: at.row + y, ..at }, line));
    }
}

/// Index of one row of one channel of one image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowIndex {
    pub(crate) image: usize,
    pub(crate) channel: usize,
    pub(crate) row: usize,
}

/// Sizes of images, `[images, channels, height, width]` (NCHW).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageDims {
    pub(crate) images: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl ImageDims {
    /// Pixels of one channel.
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Position of a row's first number in memory.
    pub(crate) fn index(&self, at: RowIndex) -> usize {
        ((at.image * self.channels + at.channel) * self.height + at.row) * self.width
    }
}

/// The window of a convolution of stride 1: a `side × side` square centred on each pixel, `side` odd,
/// with zero padding beyond the image, so that the output has the input's sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) side: usize,
}

impl Window {
    /// The window of a 1×1 (pointwise) convolution.
    pub(crate) const POINT: Self = Self { side: 1 };
    /// The window of a 3×3 convolution.
    pub(crate) const SQUARE: Self = Self { side: 3 };

    /// Padding: pixels on each side of the centre.
    pub(crate) fn margin(&self) -> usize {
        self.side / 2
    }

    /// Taps: weights of the square.
    pub(crate) fn taps(&self) -> usize {
        self.side * self.side
    }
}

/// A view of images that lie in memory without gaps, NCHW.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NchwView<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) planes: ImageDims,
}

impl ImageSource for NchwView<'_> {
    fn planes(&self) -> ImageDims {
        self.planes
    }

    fn read(&self, at: RowIndex, out: &mut [f32]) {
        let begin = self.planes.index(at);
        out.copy_from_slice(&self.values[begin..begin + self.planes.width]);
    }

    fn read_rows(&self, at: RowIndex, out: &mut [f32]) {
        let begin = self.planes.index(at);
        out.copy_from_slice(&self.values[begin..begin + out.len()]);
    }
}

/// Two images concatenated along their channels, without a copy of either.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConcatChannels<'a> {
    pub(crate) first: NchwView<'a>,
    pub(crate) second: NchwView<'a>,
}

impl ImageSource for ConcatChannels<'_> {
    fn planes(&self) -> ImageDims {
        let ImageDims { channels, .. } = self.second.planes;
        ImageDims { channels: self.first.planes.channels + channels, ..self.first.planes }
    }

    fn read(&self, at: RowIndex, out: &mut [f32]) {
        match at.channel.checked_sub(self.first.planes.channels) {
            None => self.first.read(at, out),
            Some(channel) => self.second.read(RowIndex { channel, ..at }, out),
        }
    }

    fn read_rows(&self, at: RowIndex, out: &mut [f32]) {
        match at.channel.checked_sub(self.first.planes.channels) {
            None => self.first.read_rows(at, out),
            Some(channel) => self.second.read_rows(RowIndex { channel, ..at }, out),
        }
    }
}
