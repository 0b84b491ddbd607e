//! Segmentations in: one label volume from the frames of one or more segments.

use super::super::fields::Fields;
use super::super::file::{DicomFile, ReadExtent};
use super::super::pixels::FilePixels;
use super::super::series::Series;
use super::super::wrong;
use super::planes::Planes;
use super::segments::{SegmentationType, Segments};
use crate::reading::{Loaded, ReadOptions};
use crate::voxels::label_of;
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Reads the labels of a segmentation: the number of each voxel's segment, or 1 in the segment that
/// `options` choose. On the grid of `image` where the frames lie on it, otherwise on the smallest
/// grid that holds all frames.
pub(in super::super) fn labels(
    series: &Series,
    options: &ReadOptions,
    image: Option<&Grid>,
) -> Result<Loaded<LabelVolume>> {
    let frames = series.slices.as_slice();
    let Some(file) = frames.first().map(|f| &f.file) else {
        return Err(wrong(Path::new(""), "a segmentation without frames"));
    };
    let path = file.path.as_path();
    if let Some(other) = frames.iter().find(|f| !Arc::ptr_eq(&f.file, file)) {
        let problem = format!(
            "{} is a segmentation of the same series; read one file of them",
            other.path().display()
        );
        return Err(wrong(path, problem));
    }
    let object = DicomFile::read(path, ReadExtent::Header)?.object;
    let segments = Segments::read(&Fields::new(&object, path), frames.len())?;
    match options.segment {
        Some(number) => segments.expect(number, path)?,
        None => segments.expect_labels(path)?,
    }
    let on_image = image.and_then(|grid| Planes::on(grid, frames));
    let (planes, is_on_image) = match on_image {
        Some(planes) => (planes, true),
        None => {
            let planes = Planes::of(frames, &segments);
            (planes.map_err(|problem| wrong(path, problem))?, false)
        }
    };
    let grid = planes.grid;
    expect_within_limit(&grid, options.max_bytes, path)?;
    let pixels = FilePixels::read(file)?;
    let mut canvas = LabelCanvas { data: vec![0; grid.len()], grid, segments: &segments, path };
    let mut seen = BTreeSet::new();
    for (index, (frame, &slice)) in frames.iter().zip(&planes.of_frame).enumerate() {
        let segment = segments.of_frame.get(index).copied();
        if !seen.insert((segment, slice)) {
            let which =
                segment.map_or_else(String::new, |s| format!(" of segment {}", segments.name(s)));
            let problem =
                format!("frame {}{which} has the same position as another frame", index + 1);
            return Err(wrong(path, problem));
        }
        if segment.is_some() && options.segment.is_some_and(|chosen| segment != Some(chosen)) {
            continue;
        }
        let mut voxel = slice * grid.slice_len();
        pixels.each(frame, |value| {
            canvas.put(voxel, segment, value, options.segment)?;
            voxel += 1;
            Ok(())
        })?;
    }
    let labels = LabelVolume::new(grid, canvas.data)?;
    let mut loaded = Loaded::new(labels);
    loaded.details.push(format!("{}: segments {}", path.display(), segments.names()));
    let slices = grid.dims[2];
    if planes.empty > 0 {
        loaded.details.push(format!(
            "{}: {} of {slices} slices have no frame and are background",
            path.display(),
            planes.empty
        ));
    }
    if !is_on_image && segments.images.count > slices {
        loaded.warnings.push(format!(
            "{}: its frames span {slices} slices of the {} images that it refers to; slices before \
             the first frame and behind the last are missing",
            path.display(),
            segments.images.count
        ));
    }
    Ok(loaded)
}

/// The label volume that frames are written into.
struct LabelCanvas<'a> {
    data: Vec<u8>,
    grid: Grid,
    segments: &'a Segments,
    path: &'a Path,
}

impl LabelCanvas<'_> {
    /// Writes one pixel of a frame.
    fn put(
        &mut self,
        voxel: usize,
        segment: Option<u16>,
        value: f64,
        chosen: Option<u16>,
    ) -> Result<()> {
        let number = match (self.segments.kind, segment) {
            (SegmentationType::Binary, Some(number)) if value != 0.0 => f64::from(number),
            (SegmentationType::LabelMap, _) => value,
            _ => return Ok(()),
        };
        let label = match chosen {
            Some(chosen) => u8::from(number == f64::from(chosen)),
            None => label_of(number).ok_or_else(|| Error::NotALabel {
                path: self.path.to_path_buf(),
                voxel: position(&self.grid, voxel),
                value: number,
            })?,
        };
        let Some(there) = self.data.get_mut(voxel) else {
            return Err(wrong(self.path, "a frame is larger than its grid"));
        };
        if label != 0 && *there != 0 && *there != label {
            let [first, second] = [*there, label].map(|l| self.segments.name(u16::from(l)));
            let (path, voxel) = (self.path.to_path_buf(), position(&self.grid, voxel));
            return Err(Error::SegmentsOverlap { path, first, second, voxel });
        }
        *there = (*there).max(label);
        Ok(())
    }
}

/// The indices `(i, j, k)` of a voxel that is not the first of an empty grid.
fn position(grid: &Grid, voxel: usize) -> [usize; 3] {
    let [width, height, _] = grid.dims;
    [voxel % width, voxel / width % height, voxel / (width * height)]
}

/// Checks the memory that labels on this grid need against the limit.
fn expect_within_limit(grid: &Grid, max_bytes: u64, path: &Path) -> Result<()> {
    let bytes = grid.dims.iter().try_fold(1_u64, |bytes, n| bytes.checked_mul(*n as u64));
    if bytes.is_some_and(|bytes| bytes <= max_bytes) {
        return Ok(());
    }
    let [columns, rows, slices] = grid.dims;
    Err(wrong(
        path,
        format!(
            "{columns} × {rows} × {slices} voxels are more than the limit of {max_bytes} bytes"
        ),
    ))
}
