//! Measurements of a mask: size, bounding box, predicted IoU.

use super::SlicePrediction;
use desam_core::{Grid, LabelVolume};
use serde::{Deserialize, Serialize};

/// Bounding box of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundingBox {
    /// First voxel `(i, j, k)` of the box.
    pub first_voxel: [usize; 3],
    /// Last voxel `(i, j, k)` of the box, which belongs to it.
    pub last_voxel: [usize; 3],
    /// Smallest R, A and S coordinates, in mm, of the box's voxels from edge to edge. The box of an
    /// oblique volume is rotated within these limits. Absent of a two-dimensional image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_mm: Option<[f64; 3]>,
    /// Largest R, A and S coordinates, in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_mm: Option<[f64; 3]>,
}

impl BoundingBox {
    /// The box of a grid without millimetres.
    pub(super) fn in_pixels(self) -> Self {
        Self { min_mm: None, max_mm: None, ..self }
    }
}

/// Size of a mask: of a volume's in millilitres, of a two-dimensional image's in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MaskSize {
    /// Of a volume.
    Volume {
        /// Its foreground in millilitres.
        volume_ml: f64,
    },
    /// Of a two-dimensional image, which has no millimetres.
    Area {
        /// Its foreground in square pixels.
        area_px2: usize,
    },
}

impl MaskSize {
    /// The size in millilitres; `None` of a two-dimensional image.
    pub fn volume_ml(self) -> Option<f64> {
        match self {
            Self::Volume { volume_ml } => Some(volume_ml),
            Self::Area { .. } => None,
        }
    }
}

impl std::fmt::Display for MaskSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Volume { volume_ml } => write!(f, "{volume_ml:.1} ml"),
            Self::Area { area_px2 } => write!(f, "{area_px2} px²"),
        }
    }
}

/// Statistics of the predicted IoUs of a volume's slices, without a sigmoid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IouStatistics {
    /// Processed slices that have one: in grid points mode those with a mask.
    pub slices: usize,
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

impl IouStatistics {
    /// Statistics over the slices of one volume; `None` where no slice has a predicted IoU.
    pub fn of(slices: &[SlicePrediction]) -> Option<Self> {
        let ious: Vec<f64> = slices.iter().filter_map(|s| s.predicted_iou).map(f64::from).collect();
        let (min, max) =
            (ious.iter().copied().reduce(f64::min)?, ious.iter().copied().reduce(f64::max)?);
        let mean = ious.iter().sum::<f64>() / ious.len() as f64;
        Some(Self { slices: ious.len(), min, mean, max })
    }
}

/// Measurements of a mask, made in one pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MaskMeasurements {
    pub(super) voxels: usize,
    pub(super) bounding_box: Option<BoundingBox>,
    /// Slices along the slice axis in which the mask is not empty.
    pub(super) slices_with_mask: Vec<usize>,
}

impl MaskMeasurements {
    pub(super) fn of(mask: &LabelVolume, slice_axis: usize) -> Self {
        let grid = mask.grid();
        let [width, height, _] = grid.dims;
        let mut present = grid.dims.map(|n| vec![false; n]);
        let mut voxels = 0;
        for (line, row) in mask.data().chunks_exact(width.max(1)).enumerate() {
            let here = row.iter().filter(|v| **v > 0).count();
            if here == 0 {
                continue;
            }
            voxels += here;
            present[0].iter_mut().zip(row).for_each(|(p, v)| *p |= *v > 0);
            present[1][line % height] = true;
            present[2][line / height] = true;
        }
        let slices = present.get(slice_axis).into_iter().flatten().enumerate();
        let slices_with_mask = slices.filter(|(_, p)| **p).map(|(n, _)| n).collect();
        let ends = |p: &Vec<bool>| Some([p.iter().position(|p| *p)?, p.iter().rposition(|p| *p)?]);
        let [i, j, k] = [0, 1, 2].map(|a| ends(&present[a]));
        let bounding_box = i.zip(j).zip(k).map(|((i, j), k)| around(grid, [i, j, k]));
        Self { voxels, bounding_box, slices_with_mask }
    }
}

fn around(grid: &Grid, ends: [[usize; 2]; 3]) -> BoundingBox {
    let (mut min, mut max) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for corner in 0..8 {
        let edge = |a: usize| match corner >> a & 1 {
            0 => ends[a][0] as f64 - 0.5,
            _ => ends[a][1] as f64 + 0.5,
        };
        let mm = grid.affine.apply([0, 1, 2].map(edge));
        for (axis, v) in mm.into_iter().enumerate() {
            min[axis] = min[axis].min(v);
            max[axis] = max[axis].max(v);
        }
    }
    BoundingBox {
        first_voxel: ends.map(|e| e[0]),
        last_voxel: ends.map(|e| e[1]),
        min_mm: Some(min),
        max_mm: Some(max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_core::{Affine, BinaryMask};

    #[test]
    fn a_mask_is_measured() {
        let affine =
            Affine([[-0.5, 0.0, 0.0, 10.0], [0.0, -0.5, 0.0, 20.0], [0.0, 0.0, 3.0, 30.0]]);
        let grid = Grid { dims: [4, 3, 5], affine };
        let mut data = vec![0; 60];
        // (1, 0, 2), (3, 1, 2) and (2, 1, 4).
        for (i, j, k) in [(1, 0, 2), (3, 1, 2), (2, 1, 4)] {
            data[(k * 3 + j) * 4 + i] = 1;
        }
        let mask = LabelVolume::new(grid, data).unwrap();
        let found = MaskMeasurements::of(&mask, 2);
        assert_eq!((found.voxels, found.slices_with_mask), (3, vec![2, 4]));
        assert_eq!(MaskMeasurements::of(&mask, 0).slices_with_mask, [1, 2, 3]);
        let bbox = found.bounding_box.unwrap();
        assert_eq!((bbox.first_voxel, bbox.last_voxel), ([1, 0, 2], [3, 1, 4]));
        // By hand: i from 0.5 to 3.5 is 9.75 down to 8.25; j from -0.5 to 1.5 is 20.25 down to
        // 19.25; k from 1.5 to 4.5 is 34.5 to 43.5.
        assert_eq!(bbox.min_mm, Some([8.25, 19.25, 34.5]));
        assert_eq!(bbox.max_mm, Some([9.75, 20.25, 43.5]));
        let bare = serde_json::to_string(&bbox.in_pixels()).unwrap();
        assert!(!bare.contains("mm") && bare.contains("first_voxel"), "{bare}");
        let none = MaskMeasurements::of(&LabelVolume::new(grid, vec![0; 60]).unwrap(), 2);
        assert_eq!((none.voxels, none.bounding_box, none.slices_with_mask), (0, None, vec![]));
    }

    #[test]
    fn predicted_ious_are_summed_up() {
        let slice = |predicted_iou| SlicePrediction {
            predicted_iou,
            ..SlicePrediction::of_mask(BinaryMask::empty(2, 2))
        };
        let found = IouStatistics::of(&[slice(Some(0.5)), slice(None), slice(Some(1.0))]);
        // By hand.
        assert_eq!(found, Some(IouStatistics { slices: 2, min: 0.5, mean: 0.75, max: 1.0 }));
        assert_eq!(IouStatistics::of(&[slice(None)]), None);
    }
}
