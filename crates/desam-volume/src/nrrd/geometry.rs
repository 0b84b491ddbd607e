//! Grid of the volume: sizes, space directions, space origin.

use super::fields::Fields;
use crate::Result;
use crate::voxels::{Channels, lps_affine, wrong};
use desam_core::Grid;
use std::path::Path;

/// The most axes that the format knows.
const MOST_AXES: usize = 16;

/// The grid of the three spatial axes.
pub(super) fn grid(fields: &Fields, path: &Path) -> Result<Grid> {
    let sizes = sizes(fields, path)?;
    let directions = directions(fields, sizes.len(), path)?;
    let axes = spatial(fields, &sizes, directions.as_deref(), path)?;
    let dims = axes.map(|a| sizes[a]);
    let flips = flips(fields, path)?;
    let unit = unit(fields, path)?;
    let columns = match &directions {
        Some(all) => {
            let along = |a: usize| all.get(a).copied().flatten().unwrap_or_default();
            axes.map(|a| std::array::from_fn(|d| along(a)[d] * flips[d] * unit))
        }
        None => {
            let spacing = spacings(fields, path, &sizes, axes)?;
            [0, 1, 2].map(|a| std::array::from_fn(|d| if a == d { spacing[a] * unit } else { 0.0 }))
        }
    };
    let origin = match fields.text("space origin") {
        None => [0.0; 3],
        Some(value) => vector(value).ok_or_else(|| {
            wrong(path, "space origin", format!("{value:?}"), "three numbers: (x,y,z)")
        })?,
    };
    let origin = std::array::from_fn(|d| origin[d] * flips[d] * unit);
    let affine = lps_affine(columns, origin);
    if affine.inverse().is_err() {
        let expected = "three directions that span a volume, lengths above 0";
        return Err(wrong(path, "space directions", format!("{columns:?}"), expected));
    }
    Ok(Grid { dims, affine })
}

/// Number of channels: the size of the axis that is not in space.
pub(super) fn channels(fields: &Fields, path: &Path) -> Result<Channels> {
    let sizes = sizes(fields, path)?;
    let directions = directions(fields, sizes.len(), path)?;
    let axes = spatial(fields, &sizes, directions.as_deref(), path)?;
    let other = (0..sizes.len()).find(|a| sizes[*a] != 1 && !axes.contains(a));
    Ok(other.map_or(Channels::ONE, |axis| {
        let block = sizes[..axis].iter().fold(1_u64, |n, &d| n.saturating_mul(d as u64));
        Channels { count: sizes[axis] as u64, block }
    }))
}

pub(super) fn sizes(fields: &Fields, path: &Path) -> Result<Vec<usize>> {
    let dimension = fields.text("dimension").unwrap_or_default();
    let count = dimension.parse::<usize>().ok().filter(|n| (3..=MOST_AXES).contains(n));
    let count =
        count.ok_or_else(|| wrong(path, "dimension", format!("{dimension:?}"), "3, a volume"))?;
    let text = fields.text("sizes").unwrap_or_default();
    let read: Option<Vec<usize>> = text.split_ascii_whitespace().map(|w| w.parse().ok()).collect();
    let fits =
        |s: &Vec<usize>| s.len() == count && s.iter().all(|d| (1..=u32::MAX as usize).contains(d));
    let bad = || wrong(path, "sizes", format!("{text:?}"), &format!("{count} sizes from 1"));
    read.filter(fits).ok_or_else(bad)
}

/// A direction an axis, `None` where an axis is not in space; nothing where there are none.
fn directions(fields: &Fields, count: usize, path: &Path) -> Result<Option<Vec<Option<[f64; 3]>>>> {
    let Some(text) = fields.text("space directions") else {
        return Ok(None);
    };
    // Some writers put spaces into the brackets.
    let mut rest = text.trim();
    let mut all = Vec::new();
    while !rest.is_empty() && all.len() <= count {
        let (item, after) = match rest.strip_prefix("none") {
            Some(after) => (Some(None), after),
            None => match rest.find(')') {
                Some(end) => (vector(&rest[..=end]).map(Some), &rest[end + 1..]),
                None => (None, rest),
            },
        };
        let Some(item) = item else { break };
        all.push(item);
        rest = after.trim_start();
    }
    if all.len() == count && rest.is_empty() {
        return Ok(Some(all));
    }
    let expected = format!("{count} of (x,y,z) or none");
    Err(wrong(path, "space directions", format!("{text:?}"), &expected))
}

/// `(x,y,z)`, all finite.
fn vector(text: &str) -> Option<[f64; 3]> {
    let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    let mut out = [0.0; 3];
    let mut words = inside.split(',');
    for cell in &mut out {
        *cell = words.next()?.trim().parse().ok().filter(|v: &f64| v.is_finite())?;
    }
    words.next().is_none().then_some(out)
}

/// Selects the three spatial axes; one further axis may hold channels.
fn spatial(
    fields: &Fields,
    sizes: &[usize],
    all: Option<&[Option<[f64; 3]>]>,
    path: &Path,
) -> Result<[usize; 3]> {
    let kinds = fields.text("kinds").unwrap_or_default();
    let kinds: Vec<_> = kinds.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    let mut axes: Vec<usize> = (0..sizes.len()).collect();
    match all {
        Some(all) => axes.retain(|&a| all.get(a).is_some_and(Option::is_some)),
        // Without directions, the kinds say which axes are in space, and the last axes of one value
        // are the ones that mean nothing.
        None => {
            let in_space = |a: usize| match kinds.get(a).map(String::as_str) {
                Some(kind) => ["domain", "space", "none", "???"].contains(&kind),
                None => true,
            };
            if axes.iter().filter(|a| in_space(**a)).count() == 3 {
                axes.retain(|a| in_space(*a));
            }
            while let Some(at) = axes.iter().rposition(|&a| sizes[a] == 1)
                && axes.len() > 3
            {
                axes.remove(at);
            }
        }
    }
    let others = (0..sizes.len()).filter(|a| !axes.contains(a));
    let many = others.filter(|&a| sizes[a] != 1).count();
    match <[usize; 3]>::try_from(axes) {
        Ok(axes) if many <= 1 => Ok(axes),
        _ => {
            let expected = "three axes in space and at most one other with more than one value, \
                            the channels (said by space directions or kinds)";
            Err(wrong(path, "sizes", format!("{sizes:?}"), expected))
        }
    }
}

/// Signs that bring a vector of the file's space to LPS.
fn flips(fields: &Fields, path: &Path) -> Result<[f64; 3]> {
    let space = fields.text("space").unwrap_or_default().to_ascii_lowercase();
    Ok(match space.trim_end_matches("-time") {
        "right-anterior-superior" | "ras" | "rast" => [-1.0, -1.0, 1.0],
        "left-anterior-superior" | "las" | "last" => [1.0, -1.0, 1.0],
        "left-posterior-superior" | "lps" | "lpst" => [1.0; 3],
        "" | "scanner-xyz" | "3d-right-handed" | "3d-left-handed" => [1.0; 3],
        _ => {
            let expected = "right-anterior-superior, left-anterior-superior or \
                            left-posterior-superior";
            return Err(wrong(path, "space", format!("{space:?}"), expected));
        }
    })
}

/// Millimetres in the unit of the space.
fn unit(fields: &Fields, path: &Path) -> Result<f64> {
    let text = fields.text("space units").or_else(|| fields.text("units")).unwrap_or_default();
    let mut words = text.split(['"', ' ']).filter(|w| !w.is_empty() && *w != "???");
    let first = words.next().unwrap_or("mm");
    match first.to_ascii_lowercase().as_str() {
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => Ok(1.0),
        "um" | "µm" | "micron" | "microns" | "micrometer" | "micrometers" => Ok(1e-3),
        "cm" => Ok(10.0),
        "m" => Ok(1e3),
        _ => Err(wrong(path, "space units", format!("{text:?}"), "um, mm, cm or m")),
    }
}

/// Spacing of the volume's axes where there are no directions; an axis of one voxel needs none.
fn spacings(fields: &Fields, path: &Path, sizes: &[usize], axes: [usize; 3]) -> Result<[f64; 3]> {
    let Some(all) = fields.numbers(path, "spacings")? else {
        return Ok([1.0; 3]);
    };
    let mut out = [1.0; 3];
    for (to, axis) in out.iter_mut().zip(axes) {
        match all.get(axis).copied().unwrap_or(f64::NAN).abs() {
            v if v.is_finite() && v > 0.0 && all.len() == sizes.len() => *to = v,
            _ if sizes[axis] == 1 => {}
            _ => {
                let expected = format!("{} lengths above 0", sizes.len());
                return Err(wrong(path, "spacings", format!("{all:?}"), &expected));
            }
        }
    }
    Ok(out)
}
