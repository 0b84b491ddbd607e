//! Consistency of a series: one size, one ImageOrientationPatient, one PixelSpacing.
//!
//! A localizer, or a second stack, under the UID of a series makes it more than one volume. What is
//! odd is named by file, with what can be done about it.

use super::geometry::SAME_DIRECTION;
use super::header::Slice;
use super::series::plane_of;
use super::slice_names;
use crate::series_choice::Plane;
use std::sync::Arc;

/// Checks that all slices could lie in one volume.
///
/// # Errors
/// In words: which do not, why, and what to do.
pub(super) fn expect_one(slices: &[Slice]) -> Result<(), String> {
    let mut groups: Vec<Vec<&Slice>> = Vec::new();
    for slice in slices {
        match groups.iter_mut().find(|g| differ(g[0], slice).is_none()) {
            Some(group) => group.push(slice),
            None => groups.push(vec![slice]),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let [largest, odd @ ..] = groups.as_slice() else {
        return Ok(());
    };
    let Some(difference) = odd.first().and_then(|g| differ(largest[0], g[0])) else {
        return Ok(());
    };
    let planes: Vec<Plane> = groups.iter().map(|g| plane_of(g[0])).collect();
    let of_several = groups.iter().map(|g| slice_names::counted_slices(g)).collect::<Vec<_>>();
    Err(format!("{} {difference}; {}", of_several.join(" and "), advice(&groups, &planes)))
}

/// Advice on a series of several groups.
fn advice(groups: &[Vec<&Slice>], planes: &[Plane]) -> String {
    let all_planes_differ =
        planes.iter().enumerate().all(|(i, plane)| !planes[..i].contains(plane));
    let first = &groups[0][0].file;
    let one_file = groups.iter().flatten().all(|s| Arc::ptr_eq(&s.file, first));
    let mut options = Vec::new();
    if all_planes_differ {
        let all = [Plane::Axial, Plane::Coronal, Plane::Sagittal];
        let named = all.iter().filter(|plane| planes.contains(plane));
        let planes: Vec<String> = named.map(Plane::to_string).collect();
        options.push(format!("choose one by its plane ({})", planes.join(", ")));
    }
    options.push(if one_file {
        "split the file into one for each stack".to_owned()
    } else if groups[0].len() > groups[1].len() {
        let odd: Vec<&Slice> = groups[1..].iter().flatten().copied().collect();
        format!("move {} to another folder", slice_names::slices(&odd))
    } else {
        "move each group to a separate folder".to_owned()
    });
    options.join(", or ")
}

/// Difference that prevents two slices from being in one volume, if any.
fn differ(a: &Slice, b: &Slice) -> Option<&'static str> {
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(x, y)| (x - y).abs() > SAME_DIRECTION);
    let (here, there) = (&a.image_plane, &b.image_plane);
    if apart(&here.row_direction, &there.row_direction)
        || apart(&here.column_direction, &there.column_direction)
    {
        Some("have different orientations")
    } else if (a.file.rows, a.file.columns) != (b.file.rows, b.file.columns) {
        Some("are not of one size")
    } else if apart(&here.spacing, &there.spacing) {
        Some("have different PixelSpacing")
    } else {
        None
    }
}
