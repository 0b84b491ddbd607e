//! Volumes from objects of the crate `dicom-object` in memory.

use super::file::{DicomFile, ReadExtent};
use super::header::{MemoryFile, Slice};
use super::series::Series;
use super::{geometry, pixels, wrong};
use crate::Result;
use crate::reading::{Loaded, ReadOptions};
use desam_core::Volume;
use dicom_object::DefaultDicomObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads the slices of one series from objects in memory, in any order.
///
/// The objects are decoded by the same reader as files are: sorted along the normal of their slices,
/// rescaled slice by slice, and refused where they are no one stack. Each is encoded to bytes for
/// that, so that memory holds the series twice while it is read.
///
/// # Errors
/// [`Error::Dicom`](crate::Error::Dicom) when there are no slices or slices of several series, or when
/// they are no stack; errors name the objects by their index.
pub fn volume_of_objects(
    objects: &[DefaultDicomObject],
    options: &ReadOptions,
) -> Result<Loaded<Volume>> {
    let all = Path::new("DICOM objects");
    let mut slices = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        slices.extend(slices_of(object, index)?);
    }
    let Some(first) = slices.first() else {
        return Err(wrong(all, "there are no slices in them"));
    };
    let uid = first.file.series.clone();
    if let Some(other) = slices.iter().find(|slice| slice.file.series != uid) {
        let problem = format!("they are of several series: {uid} and {}", other.file.series);
        return Err(wrong(all, problem));
    }
    let stack = geometry::stack(Series::new(uid, slices), all)?;
    let mut loaded = pixels::volume(&stack, options.max_bytes)?;
    loaded.warnings.extend(stack.warnings);
    Ok(loaded)
}

/// The slices of one object.
fn slices_of(object: &DefaultDicomObject, index: usize) -> Result<Vec<Slice>> {
    let name = PathBuf::from(format!("DICOM object {index}"));
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).map_err(|error| wrong(&name, error.to_string()))?;
    let opened = DicomFile::from_bytes(&name, bytes.clone(), ReadExtent::Header)?;
    let mut slices = Slice::of(&opened, &name)?;
    let Some(first) = slices.first() else {
        return Err(wrong(&name, "it is no image"));
    };
    let mut file = first.file.as_ref().clone();
    file.memory = Some(MemoryFile(Arc::new(bytes)));
    let file = Arc::new(file);
    slices.iter_mut().for_each(|slice| slice.file = Arc::clone(&file));
    Ok(slices)
}

#[cfg(test)]
mod tests {
    use super::super::file::open;
    use super::super::tests::draft;
    use super::*;
    use crate::dicom::{SeriesChoice, read_volume};

    #[test]
    fn objects_are_the_volume_that_their_files_are() {
        let dir = tempfile::tempdir().unwrap();
        for (name, z) in [("b.dcm", 3.0), ("a.dcm", 6.0), ("c.dcm", 0.0)] {
            std::fs::write(dir.path().join(name), draft(z).bytes()).unwrap();
        }
        let expected = read_volume(dir.path(), &SeriesChoice::Only).unwrap();
        let objects = ["a.dcm", "b.dcm", "c.dcm"].map(|name| open(&dir.path().join(name)).unwrap());
        let found = volume_of_objects(&objects, &ReadOptions::default()).unwrap().value;
        assert_eq!(found, expected);
        assert!(volume_of_objects(&[], &ReadOptions::default()).is_err());
        // Slices at 0, 3 and 12 mm are no stack.
        let far = dir.path().join("d.dcm");
        std::fs::write(&far, draft(12.0).bytes()).unwrap();
        let gap = [objects[1].clone(), objects[2].clone(), open(&far).unwrap()];
        assert!(volume_of_objects(&gap, &ReadOptions::default()).is_err());
    }
}
