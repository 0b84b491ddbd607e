//! The images that a segmentation refers to.

use super::super::fields::Fields;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use std::collections::{BTreeMap, BTreeSet};

/// Planes that must fit the order of the images before the order is believed: that of fewer may be
/// chance.
const MIN_PLANES: usize = 3;

/// The list of images, and which of them each frame is of.
#[derive(Debug, Default)]
pub(super) struct ReferencedImages {
    pub(super) count: usize,
    /// Place in the list, where a frame is of one image of a list of one series.
    of_frame: Vec<Option<usize>>,
}

/// Slices of an image that lie outside of the frames of its segmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Margins {
    pub(super) before: usize,
    pub(super) behind: usize,
}

impl ReferencedImages {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let series = fields.items(tags::REFERENCED_SERIES_SEQUENCE);
        let mut places = BTreeMap::new();
        let mut count = 0;
        for instance in series.iter().flat_map(|s| items(s, tags::REFERENCED_INSTANCE_SEQUENCE)) {
            places.insert(uid(instance, fields), count);
            count += 1;
        }
        // A list of several series, or one that names an image twice, has no order.
        let is_a_list = series.len() == 1 && places.len() == count;
        let index = |frame: &InMemDicomObject| {
            let derivation = items(frame, tags::DERIVATION_IMAGE_SEQUENCE).first()?;
            match items(derivation, tags::SOURCE_IMAGE_SEQUENCE) {
                [image] if is_a_list && image.get(tags::REFERENCED_FRAME_NUMBER).is_none() => {
                    places.get(&uid(image, fields)).copied()
                }
                _ => None,
            }
        };
        let of_frame =
            fields.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).iter().map(index).collect();
        Self { count, of_frame }
    }

    /// Number of referenced images before slice 0 of the frames and after their `last`, by the
    /// index of each frame's image in the list. `None` if the list is not in slice order.
    pub(super) fn margins(&self, slice_of_frame: &[usize], last: usize) -> Option<Margins> {
        let known = || {
            let both = slice_of_frame.iter().zip(&self.of_frame);
            both.filter_map(|(slice, index)| Some((i64::try_from(*slice).ok()?, (*index)?)))
        };
        let planes: BTreeSet<i64> = known().map(|(slice, _)| slice).collect();
        if planes.len() < MIN_PLANES {
            return None;
        }
        let (count, last) = (i64::try_from(self.count).ok()?, i64::try_from(last).ok()?);
        let rising = |index: usize| index as i64;
        let falling = |index: usize| count - 1 - index as i64;
        let orders: [&dyn Fn(usize) -> i64; 2] = [&rising, &falling];
        orders.into_iter().find_map(|order| {
            let mut before = known().map(|(slice, index)| order(index) - slice);
            let first = before.next()?;
            let behind = count - 1 - last - first;
            let fits = before.all(|other| other == first);
            let margins = || {
                Some(Margins { before: first.try_into().ok()?, behind: behind.try_into().ok()? })
            };
            fits.then(margins).flatten()
        })
    }
}

fn items(object: &InMemDicomObject, tag: dicom_object::Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|e| e.items()).unwrap_or_default()
}

fn uid(image: &InMemDicomObject, fields: &Fields<'_>) -> String {
    Fields::new(image, fields.path()).text(tags::REFERENCED_SOP_INSTANCE_UID).unwrap_or_default()
}
