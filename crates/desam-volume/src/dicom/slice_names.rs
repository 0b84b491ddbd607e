//! Names of slices in messages.

use super::header::Slice;
use super::series::counted;

/// Most files that one list names.
const NAMED: usize = 3;

/// A slice by its file, and by its frame in a file of several.
pub(super) fn slice(slice: &Slice) -> String {
    let name = slice.path().file_name().unwrap_or(slice.path().as_os_str()).to_string_lossy();
    match slice.file.frames {
        0 | 1 => name.into_owned(),
        _ => format!("frame {} of {name}", slice.frame + 1),
    }
}

/// Some slices by name: `a.dcm, b.dcm, c.dcm and 3 more`.
pub(super) fn slices(all: &[&Slice]) -> String {
    let names: Vec<String> = all.iter().take(NAMED).map(|s| slice(s)).collect();
    let rest = all.len() - names.len();
    match (names.as_slice(), rest) {
        ([first @ .., last], 0) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        (_, 0) => names.concat(),
        _ => format!("{} and {rest} more", names.join(", ")),
    }
}

/// The same with their number in front: `6 slices (a.dcm, b.dcm, c.dcm and 3 more)`.
pub(super) fn counted_slices(all: &[&Slice]) -> String {
    format!("{} ({})", counted(all.len(), "slice"), slices(all))
}

/// A slice with its ImagePositionPatient.
pub(super) fn placed(of: &Slice) -> String {
    let [x, y, z] = of.image_plane.position.map(|v| (v * 1000.0).round() / 1000.0);
    format!("{} at ({x}, {y}, {z})", slice(of))
}
