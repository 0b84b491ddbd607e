//! The rest of the series of a single file.
//! A path to one file of a series gives one slice. If the folder holds more of the series, that is
//! hardly ever intended, so there is a warning.

use super::geometry::Stack;
use super::peek;
use std::path::Path;

/// Files of the folder that are looked at; what lies farther from the file's name is not.
const MOST: usize = 1000;
/// Bytes of each in which its SeriesInstanceUID is looked for.
const UID_WITHIN: u64 = 64 << 10;

/// A warning where `path` is one file of a series and its folder holds more of it.
pub(super) fn warning(path: &Path, stack: &Stack) -> Option<String> {
    let [slice] = stack.slices.as_slice() else {
        return None;
    };
    let series = &slice.file.series;
    if path.is_dir() || series.is_empty() || slice.file.is_segmentation() {
        return None;
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = crate::listing::entries(folder).ok()?;
    files.retain(|f| f.is_file());
    // Files of one series mostly have names that are neighbours.
    let at = files.iter().position(|f| f.file_name() == path.file_name())?;
    let start = at.saturating_sub(MOST / 2);
    let near = files.iter().enumerate().skip(start).take(MOST).filter(|(index, _)| *index != at);
    let of_series = near.filter(|(_, file)| {
        series_uid::series_uid(file, UID_WITHIN).as_deref() == Some(series.as_str())
    });
    let others: Vec<_> = of_series.map(|(_, file)| file).collect();
    let first = others.first()?.file_name()?.to_string_lossy();
    Some(format!(
        "{} is one slice of series {series}, and its folder holds {} more files of it, such as \
         {first}: only this slice is read; name the folder to read them all",
        path.display(),
        others.len()
    ))
}
