//! Reading volumes: channel, segment, memory limit, data files elsewhere.

use crate::commands::values::positive;
use crate::memory;
use clap::Args;
use desam::volume::volumes::ReadOptions;

/// Bytes per gibibyte.
const GIB: f64 = (1_u64 << 30) as f64;
/// Upper bound of `--max-volume-gib`, beyond any machine.
const MAX_GIB: f64 = 1e9;

/// Default limit in bytes, given the total memory. Preprocessing a volume needs about four times the
/// memory of its voxels, and a system that overcommits memory kills the program instead of failing an
/// allocation.
fn default_bytes(total: Option<u64>) -> u64 {
    let quarter = total.map_or(u64::MAX, |bytes| bytes / 4);
    ReadOptions::DEFAULT_MAX_BYTES.min(quarter)
}

/// Flags of commands that read volumes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reading volumes")]
pub(in crate::commands) struct ReadFlags {
    /// Channel to read from multi-channel volumes, counted from 0; in the Medical Segmentation
    /// Decathlon's prostate data, 0 is T2 and 1 is ADC
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    channel: Option<usize>,

    /// Number of the DICOM segment to use as foreground [default: all segments, labelled by their
    /// numbers; they must not overlap]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    segment: Option<u16>,

    /// Maximum size of one volume's voxels in memory, in GiB; a larger volume is an error [default:
    /// 16, or a quarter of the machine's memory if that is less]
    #[arg(long, value_name = "GIB", allow_negative_numbers = true, value_parser = positive(MAX_GIB))]
    max_volume_gib: Option<f64>,

    /// Allow a header to name a data file outside the header's folder
    #[arg(long)]
    follow_outside: bool,
}

impl ReadFlags {
    /// The reading options these flags stand for.
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
    fn the_limit_is_converted_from_gibibytes() {
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
