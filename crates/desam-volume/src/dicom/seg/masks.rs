//! The pixels of the segments of a mask.

use desam_core::{ClassTable, LabelVolume};

/// Most bytes of a value: a length of 32 bits, even, that is not the undefined one.
const MAX_PIXEL_BYTES: usize = u32::MAX as usize - 1;

/// A mask as one binary mask for each class.
pub(super) struct SegmentMasks<'a> {
    mask: &'a LabelVolume,
    /// Number of the segment of each label, from 1; 0 for background.
    segment_of: [u8; 256],
    count: usize,
}

impl<'a> SegmentMasks<'a> {
    /// # Errors
    /// A description of the label that is of no class.
    pub(super) fn new(mask: &'a LabelVolume, classes: &ClassTable) -> Result<Self, String> {
        let segment_of = classes.table();
        // With the default table any label is foreground.
        let is_written = |label: u8| {
            classes.is_foreground()
                || classes.written_label(usize::from(segment_of[usize::from(label)])) == label
        };
        if let Some(label) = mask.data().iter().copied().find(|label| !is_written(*label)) {
            let expected = classes.written_labels().iter().map(u8::to_string).collect::<Vec<_>>();
            return Err(format!(
                "label {label} of the mask is of no class; expected {}, the labels that masks of the \
                 classes {classes} have",
                expected.join(", ")
            ));
        }
        Ok(Self { mask, segment_of, count: classes.len() })
    }

    /// Numbers of the segments, which are those of the classes.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> + use<> {
        // At most MAX_CLASSES.
        1..=self.count as u16
    }

    /// The bits of all frames without a gap, segment after segment, the first pixel in the lowest bit.
    ///
    /// # Errors
    /// When they are too many for one object.
    pub(super) fn bits(&self) -> Result<Vec<u8>, String> {
        let voxels = self.mask.data();
        let bytes = voxels.len().checked_mul(self.count).map(|bits| bits.div_ceil(8));
        let Some(bytes) = bytes.filter(|bytes| *bytes <= MAX_PIXEL_BYTES) else {
            return Err("a segmentation of more than 4 GB cannot be one DICOM object".into());
        };
        let mut packed = vec![0_u8; bytes];
        for (nth, number) in self.numbers().enumerate() {
            for (at, label) in voxels.iter().enumerate() {
                if u16::from(self.segment_of[usize::from(*label)]) == number {
                    let bit = nth * voxels.len() + at;
                    packed[bit / 8] |= 1 << (bit % 8);
                }
            }
        }
        Ok(packed)
    }
}
