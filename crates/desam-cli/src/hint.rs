//! Hints: which flag helps against an error of the library.
//!
//! The library's messages name no flags, because it does not know the program. This is the only
//! place that maps its errors to flags.

mod study;

use desam::data::Error as DataError;
use desam::volume::Error as VolumeError;

/// The hint for an error, if there is one. Looks through all causes.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        match cause.downcast_ref() {
            Some(desam_study::Error::Desam(error)) => return desam_hint(error),
            Some(error) => return study::study_hint(error),
            None => {}
        }
        if let Some(error) = cause.downcast_ref() {
            return desam_hint(error);
        }
        let data = cause.downcast_ref().and_then(data_hint);
        data.or_else(|| cause.downcast_ref().and_then(volume_hint))
    })
}

fn desam_hint(error: &desam::Error) -> Option<&'static str> {
    match error {
        desam::Error::Data(error) => data_hint(error),
        desam::Error::NotARun { .. } => Some("give the --out of `desam train`"),
        desam::Error::NoSourceHistogram => {
            Some("train again with this version on grey images, or leave --match-source out")
        }
        desam::Error::HoldsRun { .. } => Some("choose another --out"),
        desam::Error::Device { .. } if !desam::device::HAS_CUDA => {
            Some("build it with --features cuda")
        }
        _ => None,
    }
}

fn data_hint(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::File(error) => volume_hint(error),
        DataError::Case { source, .. } => data_hint(source),
        DataError::LabelsMerged { .. } => Some("run the same `desam embed` again on this cache"),
        _ => None,
    }
}

fn volume_hint(error: &VolumeError) -> Option<&'static str> {
    match error {
        VolumeError::VolumeTooLarge { .. } => Some("raise the limit with --max-volume-gib GIB"),
        VolumeError::SeveralChannels { .. } => Some("choose a channel with --channel N"),
        VolumeError::SegmentsOverlap { .. } => Some(
            "choose one segment with --segment N, a flag of `desam info`, `verify` and `embed`",
        ),
        VolumeError::OutsideFolder { .. } => {
            Some("allow data files outside the header's folder with --follow-outside")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_gets_its_hint_however_deeply_it_is_wrapped() {
        let several =
            || DataError::from(VolumeError::SeveralChannels { path: "a.nii".into(), channels: 2 });
        let case = |source| DataError::Case { site: "A".into(), id: "1".into(), source };
        for error in [
            anyhow::Error::new(several()),
            anyhow::Error::new(desam::Error::Data(several())),
            anyhow::Error::new(desam::Error::Data(case(Box::new(several())))),
            anyhow::Error::new(desam_study::Error::from(several())),
            Err::<(), _>(desam::Error::Data(several())).context("reading").unwrap_err(),
        ] {
            assert!(hint(&error).is_some_and(|h| h.contains("--channel")), "{error:?}");
        }
        let overlap = VolumeError::SegmentsOverlap {
            path: "a.dcm".into(),
            first: "1".into(),
            second: "2".into(),
            voxel: [0; 3],
        };
        let error = desam::Error::Data(case(Box::new(overlap.into()))).into();
        assert!(hint(&error).is_some_and(|h| h.contains("--segment N")));
        assert_eq!(hint(&anyhow::Error::msg("other")), None);
    }
}
