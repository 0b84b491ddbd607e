//! Choosing the series to read from a folder.

use super::contents::{Contents, ObjectKinds, RejectReason, Rejected};
use super::series::{Series, plane_of};
use super::{slice_names, wrong};
use crate::reading::Loaded;
use crate::series_choice::SeriesChoice;
use crate::{Error, Result};
use std::path::Path;

/// Most files that are listed one by one.
const LISTED: usize = 50;

/// The chosen series, with warnings about the choice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChosenSeries {
    pub(super) series: Series,
    pub(super) warnings: Vec<String>,
    pub(super) details: Vec<String>,
}

impl ChosenSeries {
    /// Adds the warnings about the choice to what was read.
    pub(super) fn with<T>(self, mut loaded: Loaded<T>) -> Loaded<T> {
        loaded.warnings.splice(0..0, self.warnings);
        loaded.details.splice(0..0, self.details);
        loaded
    }
}

/// The series that `choice` selects in a folder or a file.
///
/// # Errors
/// [`Error::Io`] and [`Error::Dicom`] when there is no such series or more than one, or when a file
/// that could be of it cannot be read.
pub(super) fn choose(
    path: &Path,
    choice: &SeriesChoice,
    sought: ObjectKinds,
) -> Result<ChosenSeries> {
    let contents = match choice {
        _ if !path.is_dir() => Contents::of_file(path)?,
        SeriesChoice::Uid(uid) => Contents::of_series(path, sought, uid)?,
        _ => Contents::of_folder(path, sought)?,
    };
    if matches!(choice, SeriesChoice::Uid(_)) && !contents.series.iter().any(|s| s.fits(choice)) {
        // For the message, the other series as well.
        let all = if path.is_dir() { Contents::of_folder(path, sought)? } else { contents };
        return pick(path, choice, all);
    }
    pick(path, choice, contents)
}

fn pick(path: &Path, choice: &SeriesChoice, mut contents: Contents) -> Result<ChosenSeries> {
    refuse_what_could_be_meant(choice, &mut contents)?;
    let mut chosen = ChosenSeries {
        series: the_one(path, choice, &contents)?,
        warnings: Vec::new(),
        details: Vec::new(),
    };
    if let (None, SeriesChoice::Plane(plane)) = (chosen.series.plane, choice)
        && let Some(part) = chosen.series.part_in(*plane)
    {
        let others: Vec<_> =
            chosen.series.slices.iter().filter(|s| plane_of(s) != *plane).collect();
        chosen.warnings.push(format!(
            "{}: series {} holds slices of several planes: the {plane} ones are read ({}), not {}",
            path.display(),
            chosen.series.uid,
            part.len(),
            slice_names::slices(&others)
        ));
        chosen.series = part;
    }
    for rejected in std::mem::take(&mut contents.rejected) {
        set_aside(rejected, &mut chosen)?;
    }
    let (listed, more) = contents.left_out.split_at(contents.left_out.len().min(LISTED));
    for other in listed {
        let file = if other.path.as_os_str().is_empty() { path } else { &other.path };
        chosen.details.push(format!("{}: left out: {}", file.display(), other.reason));
    }
    if !more.is_empty() {
        chosen.details.push(format!("{}: {} more files left out", path.display(), more.len()));
    }
    Ok(chosen)
}

/// An error for an unreadable file that could be a slice of the chosen series.
fn refuse_what_could_be_meant(choice: &SeriesChoice, contents: &mut Contents) -> Result<()> {
    let known = |uid: &str| contents.series.iter().find(|s| s.uid == uid);
    let could_be = |rejected: &Rejected| match (&rejected.series, choice) {
        _ if rejected.fault != RejectReason::Unreadable => false,
        (None, _) => true,
        (Some(uid), SeriesChoice::Uid(chosen)) => uid == chosen,
        // Nothing is known of the series but its UID, or it is the one.
        (Some(uid), _) => known(uid).is_none_or(|s| s.fits(choice) || s.has_part(choice)),
    };
    let mut meant = (0..contents.rejected.len()).filter(|i| could_be(&contents.rejected[*i]));
    let Some(first) = meant.next() else {
        return Ok(());
    };
    let (others, chosen) = (meant.count(), matches!(choice, SeriesChoice::Uid(_)));
    let Rejected { series, path, error, .. } = contents.rejected.swap_remove(first);
    let whose = match (&series, chosen) {
        (Some(_), true) => "it is of the series that is read".to_owned(),
        (Some(uid), false) => format!("it is of series {uid}"),
        (None, _) => "its series is unknown".to_owned(),
    };
    let more = match others {
        0 => String::new(),
        n => format!("; {n} more files cannot be read"),
    };
    let advice = "copy it again from its source, or move it to another folder";
    Err(match error {
        Error::Dicom { problem, .. } if problem.contains(advice) => {
            wrong(&path, format!("{problem}{more}"))
        }
        Error::Dicom { problem, .. } => wrong(
            &path,
            format!("a slice that cannot be read: {problem} ({whose}); {advice}{more}"),
        ),
        other => other,
    })
}

/// Notes that a file without a slice was excluded.
///
/// # Errors
/// When it is of the chosen series and could have been meant as a slice of it.
fn set_aside(rejected: Rejected, chosen: &mut ChosenSeries) -> Result<()> {
    let same = rejected.series.as_deref() == Some(chosen.series.uid.as_str());
    match rejected.fault {
        RejectReason::NoSlice if same => {
            let advice = "if it is no slice of this series, move it to another folder";
            Err(match rejected.error {
                Error::Dicom { path, problem } => wrong(&path, format!("{problem}; {advice}")),
                other => other,
            })
        }
        RejectReason::Colour if same => {
            let uid = &chosen.series.uid;
            chosen.warnings.push(format!(
                "{}; it is of series {uid} and left out of its volume",
                rejected.error
            ));
            Ok(())
        }
        _ => {
            chosen.details.push(format!("left out: {}", rejected.error));
            Ok(())
        }
    }
}

fn the_one(path: &Path, choice: &SeriesChoice, contents: &Contents) -> Result<Series> {
    let all: Vec<&Series> = contents.series.iter().collect();
    let mut fitting: Vec<&Series> = all.iter().copied().filter(|s| s.fits(choice)).collect();
    if fitting.is_empty() {
        fitting = all.iter().copied().filter(|s| s.has_part(choice)).collect();
    }
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] if all.is_empty() => Err(no_image(path, contents)),
        [] => {
            let (there, set_aside) = (lines(&all), reasons(contents));
            let set_aside = match set_aside.as_str() {
                "" => String::new(),
                list => format!("\nand these are no slices:{list}"),
            };
            Err(wrong(path, format!("no series has {choice}; there are{there}{set_aside}")))
        }
        many => {
            let advice = "choose one by its UID, its description or its plane";
            let count = many.len();
            Err(wrong(path, format!("{count} series fit; {advice}:{}", lines(many))))
        }
    }
}

fn lines(series: &[&Series]) -> String {
    series.iter().map(|s| format!("\n  {s}")).collect()
}

/// The error for a folder without a series, with the reason for each file.
fn no_image(path: &Path, contents: &Contents) -> Error {
    let said = "there is no DICOM image here that is a slice of a volume";
    wrong(path, format!("{said}{}", reasons(contents)))
}

/// Reasons why the DICOM files are no slices, a line each; at most a few of them.
fn reasons(contents: &Contents) -> String {
    const SHOWN: usize = 5;
    let rejected = contents.rejected.iter().map(|r| r.error.to_string());
    let dicom = contents.left_out.iter().filter(|other| other.is_dicom);
    let left_out = dicom.map(|other| format!("{}: {}", other.path.display(), other.reason));
    let all: Vec<String> = rejected.chain(left_out).collect();
    let mut said: String = all.iter().take(SHOWN).map(|reason| format!("\n  {reason}")).collect();
    if all.len() > SHOWN {
        said += &format!("\n  and {} more", all.len() - SHOWN);
    }
    said
}
