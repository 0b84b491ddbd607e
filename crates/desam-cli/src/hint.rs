//! Which flag helps against an error of the library, which knows no flags.

mod study;

use desam::data::Error as DataError;
use desam::volume::Error as VolumeError;

/// What to add to an error, if anything.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        match cause.downcast_ref() {
            Some(desam_study::Error::Desam(error)) => return of_desam(error),
            Some(error) => return study::of_study(error),
            None => {}
        }
        if let Some(error) = cause.downcast_ref() {
            return of_desam(error);
        }
        let data = cause.downcast_ref().and_then(of_data);
        data.or_else(|| cause.downcast_ref().and_then(of_volume))
    })
}

fn of_desam(error: &desam::Error) -> Option<&'static str> {
    match error {
        desam::Error::Data(error) => of_data(error),
        desam::Error::NotARun { .. } => Some("give the --out of `desam train`"),
        desam::Error::HoldsRun { .. } => Some("choose another --out"),
        desam::Error::Device { .. } if !desam::device::HAS_CUDA => {
            Some("build it with --features cuda")
        }
        _ => None,
    }
}

fn of_data(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::File(error) => of_volume(error),
        DataError::Case { source, .. } => of_data(source),
        _ => None,
    }
}

fn of_volume(error: &VolumeError) -> Option<&'static str> {
    match error {
        VolumeError::VolumeTooLarge { .. } => {
            Some("--max-volume-gib sets how large a volume may be")
        }
        VolumeError::SeveralChannels { .. } => Some("choose with --channel N"),
        VolumeError::SegmentsOverlap { .. } => {
            Some("`info`, `verify` and `embed` take --segment N")
        }
        VolumeError::OutsideFolder { .. } => Some("--follow-outside reads it where it is"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn flags_are_named_for_errors_from_any_depth() {
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
