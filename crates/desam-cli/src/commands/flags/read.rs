//! How volumes are read: flags shared by the commands that read them.

use crate::commands::values::positive;
use crate::memory;
use clap::Args;
use desam::data::volumes::ReadOptions;

/// Bytes of a gibibyte.
const GIB: f64 = (1_u64 << 30) as f64;
/// Largest limit that makes a difference.
const MOST_GIB: f64 = 1e9;

/// The limit where none is given. Preparing a volume takes about four times the memory of its voxels,
/// and a system that has promised more memory than it has ends the program instead of refusing.
fn default_bytes(machine: Option<u64>) -> u64 {
    let quarter = machine.map_or(u64::MAX, |bytes| bytes / 4);
    ReadOptions::DEFAULT_MAX_BYTES.min(quarter)
}

/// How volumes are read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reading volumes")]
pub(in crate::commands) struct ReadFlags {
    /// Channel of volumes that hold several, counted from 0; the Decathlon's prostates have T2 as
    /// channel 0 and ADC as channel 1
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    channel: Option<usize>,

    /// Segment of a DICOM segmentation that is the foreground, by its number [default: all; labels
    /// are the numbers of the segments, which must not overlap]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    segment: Option<u16>,

    /// Memory that the voxels of one volume may take, in GiB; a larger volume is an error [default: 16,
    /// or a quarter of the machine's memory where that is less]
    #[arg(long, value_name = "GIB", allow_negative_numbers = true, value_parser = positive(MOST_GIB))]
    max_volume_gib: Option<f64>,

    /// Follow headers that name a data file outside their own folder
    #[arg(long)]
    follow_outside: bool,
}

impl ReadFlags {
    pub(in crate::commands) fn options(&self) -> ReadOptions {
        let options = ReadOptions::default()
            .with_channel(self.channel)
            .with_segment(self.segment)
            .with_follow_outside(self.follow_outside);
        match self.max_volume_gib {
            Some(gib) => options.with_max_bytes((gib * GIB) as u64),
            None => options.with_max_bytes(default_bytes(memory::total_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_in_gibibytes() {
        let flags = |max_volume_gib| ReadFlags {
            channel: Some(1),
            segment: Some(2),
            max_volume_gib,
            follow_outside: true,
        };
        let options = flags(Some(0.5)).options();
        assert_eq!((options.max_bytes, options.channel), (1 << 29, Some(1)));
        assert!(options.follow_outside && options.segment == Some(2));
        assert_eq!(default_bytes(None), ReadOptions::DEFAULT_MAX_BYTES);
        assert_eq!(default_bytes(Some(1 << 40)), ReadOptions::DEFAULT_MAX_BYTES);
        assert_eq!(default_bytes(Some(8 << 30)), 2 << 30);
        assert!(flags(None).options().max_bytes <= ReadOptions::DEFAULT_MAX_BYTES);
        assert_eq!(flags(Some(1e300)).options().max_bytes, u64::MAX);
    }
}
