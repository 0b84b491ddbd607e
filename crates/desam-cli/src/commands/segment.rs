//! The flag that chooses a segment of a DICOM segmentation.

use clap::Args;

/// Which segment of a segmentation is read.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SegmentFlag {
    /// Segment of a DICOM segmentation that is the foreground, by its number [default: all; labels
    /// are the numbers of the segments, which must not overlap]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) segment: Option<u16>,
}
