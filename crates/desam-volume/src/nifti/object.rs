//! Conversions from and to the in-memory objects of the crate `nifti`.

use super::field::Field;
use super::header::{RawHeader, VoxelLocation};
use super::header_info::HeaderInfo;
use super::version::Version;
use super::write::{labels_bytes, volume_bytes};
use crate::voxels::label_of;
use crate::{Error, Result, fallible};
use desam_core::{LabelVolume, Volume};
use nifti_rs::{Endianness, InMemNiftiObject, NiftiHeader, NiftiObject as _};
use std::path::Path;

/// Stands for a file's name in errors.
const NAME: &str = "in-memory NIfTI object";

/// A NIfTI object of the crate `nifti`, for conversions from and to volumes.
///
/// The affine, the spatial unit, slope and intercept are read as those of a file are: sform before
/// qform before spacing, lengths in mm, RAS+.
///
/// ```
/// use desam_core::{Affine, Volume};
/// use desam_volume::nifti::NiftiObject;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let volume = Volume::from_parts([2, 2, 1], Affine::from_spacing([1.0; 3]), vec![0.5; 4])?;
/// let object = NiftiObject::try_from(&volume)?;
/// assert_eq!(Volume::try_from(&object)?, volume);
/// let theirs: nifti_rs::InMemNiftiObject = object.into_inner();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct NiftiObject(InMemNiftiObject);

impl NiftiObject {
    /// The object of the crate `nifti`.
    pub fn into_inner(self) -> InMemNiftiObject {
        self.0
    }

    /// Decodes voxels, slope and intercept applied.
    fn values<T>(
        &self,
        info: &HeaderInfo,
        mut convert: impl FnMut(usize, f64) -> Result<T>,
    ) -> Result<Vec<T>> {
        let path = Path::new(NAME);
        if info.channels.count > 1 {
            let channels = info.channels.count;
            return Err(Error::SeveralChannels { path: path.to_owned(), channels });
        }
        let bytes = self.0.volume().raw_data();
        let voxels = info.grid.len();
        let expected = (voxels as u64).saturating_mul(info.scalar.bytes() as u64);
        if bytes.len() as u64 != expected {
            let found = bytes.len() as u64;
            return Err(Error::Truncated { path: path.to_owned(), expected, found });
        }
        let big_endian = self.0.header().endianness == Endianness::Big;
        let mut values = fallible::with_capacity(voxels)?;
        for (index, value) in info.scalar.decode(big_endian, bytes).enumerate() {
            values.push(convert(index, value * info.slope + info.intercept)?);
        }
        Ok(values)
    }

    fn info(&self) -> Result<HeaderInfo> {
        HeaderInfo::read(&raw_header(self.0.header()), Path::new(NAME), false)
    }
}

impl From<InMemNiftiObject> for NiftiObject {
    fn from(object: InMemNiftiObject) -> Self {
        Self(object)
    }
}

impl TryFrom<&NiftiObject> for Volume {
    type Error = Error;

    /// # Errors
    /// [`Error::Header`] when the header describes no image, [`Error::SeveralChannels`] for one of
    /// several channels.
    fn try_from(object: &NiftiObject) -> Result<Self> {
        let info = object.info()?;
        let values = object.values(&info, |_, value| Ok(value as f32))?;
        Ok(Self::new(info.grid, values)?)
    }
}

impl TryFrom<&NiftiObject> for LabelVolume {
    type Error = Error;

    /// # Errors
    /// As for a [`Volume`]; [`Error::NotALabel`] when a value is no whole number from 0 to 255.
    fn try_from(object: &NiftiObject) -> Result<Self> {
        let info = object.info()?;
        let [width, height, _] = info.grid.dims;
        let values = object.values(&info, |index, value| {
            label_of(value).ok_or_else(|| {
                let voxel = [index % width, index / width % height, index / (width * height)];
                Error::NotALabel { path: NAME.into(), voxel, value }
            })
        })?;
        Ok(Self::new(info.grid, values)?)
    }
}

impl TryFrom<&Volume> for NiftiObject {
    type Error = Error;

    /// # Errors
    /// [`Error::Unwritable`] when the grid does not fit a NIfTI-1 header.
    fn try_from(volume: &Volume) -> Result<Self> {
        object(&volume_bytes(volume, Path::new(NAME))?)
    }
}

impl TryFrom<&LabelVolume> for NiftiObject {
    type Error = Error;

    /// # Errors
    /// [`Error::Unwritable`] when the grid does not fit a NIfTI-1 header.
    fn try_from(labels: &LabelVolume) -> Result<Self> {
        object(&labels_bytes(labels, Path::new(NAME))?)
    }
}

/// The object of a file's bytes.
fn object(bytes: &[u8]) -> Result<NiftiObject> {
    let problem =
        |e: nifti_rs::NiftiError| Error::Unwritable { path: NAME.into(), problem: e.to_string() };
    Ok(NiftiObject(InMemNiftiObject::from_reader(bytes).map_err(problem)?))
}

/// The fields that geometry and scaling are read from.
fn raw_header(from: &NiftiHeader) -> RawHeader {
    let mut header = RawHeader::empty(Version::One);
    let all = |values: &[f32]| -> Vec<f64> { values.iter().copied().map(f64::from).collect() };
    header.set_all(Field::Dim, &from.dim.map(f64::from));
    header.set(Field::IntentCode, 0, f64::from(from.intent_code));
    header.set(Field::Datatype, 0, f64::from(from.datatype));
    header.set_all(Field::Pixdim, &all(&from.pixdim));
    header.set(Field::Slope, 0, f64::from(from.scl_slope));
    header.set(Field::Intercept, 0, f64::from(from.scl_inter));
    header.set(Field::Units, 0, f64::from(from.xyzt_units));
    header.set(Field::QformCode, 0, f64::from(from.qform_code));
    header.set(Field::SformCode, 0, f64::from(from.sform_code));
    let NiftiHeader { quatern_b, quatern_c, quatern_d, .. } = *from;
    let NiftiHeader { quatern_x, quatern_y, quatern_z, .. } = *from;
    let quaternion = [quatern_b, quatern_c, quatern_d, quatern_x, quatern_y, quatern_z];
    header.set_all(Field::Quaternion, &all(&quaternion));
    header.set_all(Field::Srow, &all(&[from.srow_x, from.srow_y, from.srow_z].concat()));
    header.set_magic(VoxelLocation::SameFile);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nifti::{read_labels, read_volume, write_labels, write_volume};
    use desam_core::{Affine, Grid};

    /// Oblique, its numbers exact in the header's f32.
    fn grid() -> Grid {
        let rows = [[-0.5, 0.25, 0.0, 9.0], [0.0, -0.5, 0.75, 8.0], [0.25, 0.0, 3.0, 7.0]];
        Grid { dims: [4, 3, 2], affine: Affine(rows) }
    }

    #[test]
    fn volumes_and_labels_round_trip() {
        let volume = Volume::new(grid(), (0..24).map(|v| v as f32 - 3.5).collect()).unwrap();
        let object = NiftiObject::try_from(&volume).unwrap();
        assert_eq!(Volume::try_from(&object).unwrap(), volume);
        assert!(LabelVolume::try_from(&object).is_err());
        let labels = LabelVolume::new(grid(), (0..24).collect()).unwrap();
        let object = NiftiObject::try_from(&labels).unwrap();
        assert_eq!(LabelVolume::try_from(&object).unwrap(), labels);
    }

    #[test]
    fn an_object_is_the_file_that_it_was_read_from() {
        let dir = tempfile::tempdir().unwrap();
        let (image, mask) = (dir.path().join("a.nii.gz"), dir.path().join("m.nii"));
        let volume = Volume::new(grid(), (0..24).map(|v| v as f32 * 0.1).collect()).unwrap();
        write_volume(&image, &volume).unwrap();
        write_labels(&mask, &LabelVolume::new(grid(), vec![3; 24]).unwrap()).unwrap();
        let read = |path: &Path| {
            let theirs = nifti_rs::ReaderOptions::new().read_file(path).unwrap();
            NiftiObject::from(theirs)
        };
        assert_eq!(Volume::try_from(&read(&image)).unwrap(), read_volume(&image).unwrap());
        assert_eq!(LabelVolume::try_from(&read(&mask)).unwrap(), read_labels(&mask).unwrap());
    }
}
