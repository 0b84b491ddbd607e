//! Crop of both masks to their foreground.

use crate::metric::MaskPair;

/// Bit of the prediction.
pub(super) const PREDICTION: u8 = 1;
/// Bit of the truth.
pub(super) const TRUTH: u8 = 2;

/// Both masks, cropped to the bounding box of their foreground plus one voxel of background on every
/// side, so that voxels at the border of the volume need no special case. Outside the volume is
/// background, as in medpy and surface-distance.
#[derive(Debug)]
pub(super) struct Crop {
    /// [`PREDICTION`] and [`TRUTH`] of each voxel, `x` fastest.
    pub(super) bits: Vec<u8>,
    /// Voxels along `[z, y, x]`, the rim included.
    pub(super) dims: [usize; 3],
}

impl Crop {
    pub(super) fn new(pair: &MaskPair<'_>) -> Self {
        let [_, rows, columns] = pair.grid().shape;
        let Some([z, y, x]) = bounds(pair) else {
            return Self { bits: Vec::new(), dims: [0; 3] };
        };
        let dims = [z.len() + 2, y.len() + 2, x.len() + 2];
        let mut bits = vec![0; dims.iter().product()];
        let (prediction, truth) = (pair.prediction(), pair.truth());
        for (k, z) in z.enumerate() {
            for (j, y) in y.clone().enumerate() {
                let from = (z * rows + y) * columns;
                let from = from + x.start..from + x.end;
                let to = ((k + 1) * dims[1] + j + 1) * dims[2] + 1;
                let masks = prediction[from.clone()].iter().zip(&truth[from]);
                for (bits, (p, t)) in bits[to..].iter_mut().zip(masks) {
                    *bits = (PREDICTION * u8::from(*p > 0)) | (TRUTH * u8::from(*t > 0));
                }
            }
        }
        Self { bits, dims }
    }
}

/// Bounding box of the foreground of both masks; `None` where there is none.
fn bounds(pair: &MaskPair<'_>) -> Option<[std::ops::Range<usize>; 3]> {
    let [_, rows, columns] = pair.grid().shape;
    let mut low = [usize::MAX; 3];
    let mut high = [0; 3];
    let both = pair.prediction().chunks(columns).zip(pair.truth().chunks(columns));
    for (row, (p, t)) in both.enumerate() {
        // Most rows are empty, and this test is vectorised.
        if p.iter().zip(t).fold(0, |any, (p, t)| any | p | t) == 0 {
            continue;
        }
        let set = |(p, t): (&u8, &u8)| p | t > 0;
        let first = p.iter().zip(t).position(set).unwrap_or(0);
        let last = p.iter().zip(t).rposition(set).unwrap_or(0);
        for (axis, (a, b)) in
            [(row / rows, row / rows), (row % rows, row % rows), (first, last)].iter().enumerate()
        {
            low[axis] = low[axis].min(*a);
            high[axis] = high[axis].max(b + 1);
        }
    }
    (low[0] < high[0]).then(|| [0, 1, 2].map(|axis| low[axis]..high[axis]))
}
