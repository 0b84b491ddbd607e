//! Plausibility warnings about a mask.

use super::measure::MaskMeasurements;
use desam_core::{ClassTable, LabelVolume};

/// Share of a volume's voxels above which a mask is implausible.
const MAX_SHARE: f64 = 0.5;

/// Warnings about a mask of some classes, a sentence each.
pub(super) fn warnings(mask: &LabelVolume, slice_axis: usize, classes: &ClassTable) -> Vec<String> {
    let measured = MaskMeasurements::of(mask, slice_axis);
    let slices = mask.grid().dims.get(slice_axis).copied().unwrap_or(0);
    if measured.voxels == 0 {
        return vec![format!("nothing was found: the mask is empty on all {slices} slices")];
    }
    let found = mask.labels();
    let missing =
        (1..=classes.len()).filter(|class| !found.contains(&classes.written_label(*class)));
    let missing = missing.filter_map(|class| classes.name(class));
    let mut warnings: Vec<String> =
        missing.map(|name| format!("nothing of class {name} was found")).collect();
    let share = measured.voxels as f64 / mask.grid().len() as f64;
    if share > MAX_SHARE {
        warnings.push(format!("the mask covers {:.0} % of the volume", 100.0 * share));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_core::{Affine, Grid};

    #[test]
    fn empty_and_huge_masks_are_warned_of() {
        let grid = Grid { dims: [4, 5, 3], affine: Affine::from_spacing([1.0; 3]) };
        let of = |voxels: usize| {
            let data = (0..60).map(|at| u8::from(at < voxels)).collect();
            let mask = LabelVolume::new(grid, data).unwrap();
            warnings(&mask, 2, &ClassTable::default())
        };
        assert_eq!(of(0), ["nothing was found: the mask is empty on all 3 slices"]);
        assert!(of(1).is_empty() && of(30).is_empty());
        assert_eq!(of(31), ["the mask covers 52 % of the volume"]);
        assert_eq!(of(60), ["the mask covers 100 % of the volume"]);
        let zones: ClassTable = "pz=1,tz=2".parse().unwrap();
        let mask = LabelVolume::new(grid, (0..60).map(|at| u8::from(at < 5)).collect()).unwrap();
        assert_eq!(warnings(&mask, 2, &zones), ["nothing of class tz was found"]);
    }
}
