//! Hints for errors of training, evaluation, sweeps and demonstrations.

use desam_study::Error;
use desam_study::train::ResidencyRefusal;

/// The flag that helps against an error, if any.
pub(super) fn study_hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NotARun { .. } => "give the --out of `desam train`",
        Error::NotEvaluated { .. } => "run `desam evaluate` for this protocol first",
        Error::NotAPlan { .. } => "give the --out of `desam sweep plan`",
        Error::RunExists { .. } => "continue it with --resume, or choose another --out",
        Error::ForeignModel { .. } => "choose another --out",
        Error::DemoExists { .. } => "choose another --out, or remove it first",
        Error::SettingsDiffer { .. } => "give the same, or another --out for a new run",
        Error::CheckpointsMissing { .. }
        | Error::CheckpointsUnusable { .. }
        | Error::BestModelMissing { .. } => "train again with another --out",
        Error::FeaturesMissing { .. } => {
            "train with --no-cache, or make features with `desam embed --slices labelled` in another \
             folder"
        }
        Error::SlicesMissing { .. } | Error::EmptySlicesMissing { .. } => {
            "embed the data with `desam embed --slices all`"
        }
        Error::ViewsMissing { .. } => {
            "run the same `desam embed` again with --views, and with --augment, --view-seed and \
             --view-sites of all the views that CACHE should hold (`desam info` shows those it has)"
        }
        Error::ClassMissing { .. } => {
            "name labels of the cache with --classes (`desam info` shows them)"
        }
        Error::EncoderMustRun => "train with --no-cache",
        Error::FeatureResidency { reason } => residency(*reason),
        Error::MetricMissing { .. } => "evaluate it again with --metrics",
        Error::NoFiniteValue { .. } => "evaluate both with `--empty diagonal`",
        _ => return None,
    })
}

fn residency(reason: ResidencyRefusal) -> &'static str {
    match reason {
        ResidencyRefusal::LiveEncoder => {
            "--no-cache leaves no features to keep: leave --keep-features yes out"
        }
        ResidencyRefusal::Augmented => {
            "--augment features needs them in memory: leave --keep-features yes out"
        }
        ResidencyRefusal::Memory { .. } => {
            "leave --keep-features yes out, or take a smaller --batch"
        }
        _ => "--keep-features yes is for a GPU: leave it out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_laboratory_name_the_flag_that_helps() {
        let dir = || "run".into();
        let memory = ResidencyRefusal::Memory { need: 2, reserve: 1, free: 1 };
        for (error, flag) in [
            (Error::RunExists { dir: dir() }, "--resume"),
            (Error::ForeignModel { dir: dir() }, "--out"),
            (Error::EncoderMustRun, "--no-cache"),
            (Error::FeatureResidency { reason: memory }, "--batch"),
            (Error::FeatureResidency { reason: ResidencyRefusal::Cpu }, "--keep-features"),
        ] {
            assert!(study_hint(&error).is_some_and(|h| h.contains(flag)), "{error}");
        }
        assert_eq!(study_hint(&Error::Invalid("other".into())), None);
    }
}
