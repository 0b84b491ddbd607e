//! Several labels in a cache, and the classes that are made of them.

use super::toy::{Bench, ToyEncoder, changed};
use candle_core::Device;
use desam_core::{ClassTable, Dataset, LabelVolume, Quiet};
use desam_data::augment::FeatureAugment;
use desam_data::cache::{CachedSlices, FeatureCache, SlicePolicy, StyleViews};
use desam_data::embed::embed;
use desam_volume::nifti;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Labels 3 on the left of the structure's middle column and 1 on the right; the last labelled slice
/// is 7 throughout.
fn relabel(path: &std::path::Path) {
    let labels = nifti::read_labels(path).unwrap();
    let grid = *labels.grid();
    let [width, _, _] = grid.dims;
    let mut data = labels.into_data();
    let last = data.iter().rposition(|v| *v > 0).unwrap() / grid.slice_len();
    for (n, value) in data.iter_mut().enumerate().filter(|(_, v)| **v > 0) {
        let is_last = n / grid.slice_len() == last;
        *value = if is_last { 7 } else { 1 + 2 * u8::from(n % width < width / 2) };
    }
    nifti::write_labels(path, &LabelVolume::new(grid, data).unwrap()).unwrap();
}

#[test]
fn labels_are_kept_and_classes_chosen_later() {
    let bench = Bench::new();
    let options = changed(bench.options("cache"), |o| {
        o.slices = SlicePolicy::All;
        o.views = Some(StyleViews::new("paper".parse().unwrap(), 1).unwrap());
    });
    options.cases.iter().for_each(|case| relabel(case.label.as_ref().unwrap()));
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let cache = Arc::new(FeatureCache::open(&options.dir).unwrap());
    cache.verify(&Quiet).unwrap();
    assert_eq!(cache.label_values(&[0, 1]).unwrap(), Some(vec![1, 3, 7]));

    let table: ClassTable = "right=1,left=3".parse().unwrap();
    let slices = cache.class_slices(0, &table).unwrap();
    let labelled = |slices: &[desam_data::cache::SliceRef]| {
        slices.iter().filter(|slice| slice.labelled).count()
    };
    // The slice of label 7 holds neither class.
    assert_eq!(labelled(&slices) + 1, labelled(&cache.processed_slices(0).unwrap()));
    for slice in slices.iter().filter(|slice| slice.labelled) {
        let classes = cache.class_mask(slice, &table).unwrap();
        assert_eq!(classes.foreground(), cache.mask(slice).unwrap());
        let left: ClassTable = "left=3".parse().unwrap();
        assert_eq!(cache.class_mask(slice, &left).unwrap().class(1), classes.class(2));
        // A view moves all classes alike: together they are the moved foreground.
        let view = cache.view_class_mask(slice, 1, &table).unwrap();
        let whole = cache.view_class_mask(slice, 1, &ClassTable::default()).unwrap();
        assert_eq!(view.foreground(), whole.foreground());
        assert_eq!(view.classes(), 2);
    }

    let set = CachedSlices::of(cache.clone(), slices.clone(), &Device::Cpu).with_classes(table);
    let at = slices.iter().position(|slice| slice.labelled).unwrap();
    let item = set.get(at).unwrap();
    assert_eq!(item.mask.classes(), 2);
    assert_eq!(item.mask.foreground(), cache.mask(&slices[at]).unwrap());
    // Mirrored features have mirrored classes.
    let flip = FeatureAugment { flip_columns: 1.0, ..FeatureAugment::none() };
    let flipped = set.augmented(flip).unwrap();
    let flipped = flipped.draw(at, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    assert_eq!(flipped.mask.map(), &item.mask.map().clone().flip_columns());
}
