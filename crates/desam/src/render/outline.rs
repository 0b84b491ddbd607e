//! Outlines of classes at the size of a picture.

use super::class_colors::class_colors;
use crate::{Error, Result};
use desam_core::LabelMask;

/// Side of the squares in which prediction and ground truth take turns, in pixels.
const TURN: usize = 4;

/// The outlines of prediction and ground truth in a square picture.
pub(super) struct Outlines {
    prediction: ScaledMask,
    truth: Option<ScaledMask>,
    /// Width of the lines, in pixels.
    width: usize,
}

impl Outlines {
    pub(super) fn new(
        prediction: &LabelMask,
        truth: Option<&LabelMask>,
        side: usize,
    ) -> Result<Self> {
        Ok(Self {
            prediction: ScaledMask::new(prediction, side)?,
            truth: truth.map(|truth| ScaledMask::new(truth, side)).transpose()?,
            width: if side < 256 { 1 } else { 2 },
        })
    }

    /// Colour of the outline at a pixel, if there is one.
    pub(super) fn color(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let prediction = self.prediction.rim_inside(x, y, self.width);
        let truth = || self.truth.as_ref()?.rim_outside(x, y, self.width);
        let color = |class: u8| class_colors(class.into());
        let Some(predicted) = prediction else {
            return truth().map(|rim| color(rim.class).truth);
        };
        match truth() {
            // Both have their line here, and neither has another place for it.
            Some(rim) if rim.is_between_classes && !(x / TURN + y / TURN).is_multiple_of(2) => {
                Some(color(rim.class).truth)
            }
            _ => Some(color(predicted).prediction),
        }
    }
}

/// Outline of the ground truth at a pixel.
#[derive(Debug, Clone, Copy)]
struct TruthRim {
    class: u8,
    /// Whether it separates two classes, not a class from background.
    is_between_classes: bool,
}

/// Classes brought to the screen by the nearest pixel.
struct ScaledMask {
    side: usize,
    data: Vec<u8>,
}

impl ScaledMask {
    fn new(mask: &LabelMask, side: usize) -> Result<Self> {
        let (height, width) = (mask.height(), mask.width());
        if height == 0 || width == 0 {
            return Err(Error::Invalid(format!("a mask of {height} × {width} has no outline")));
        }
        // Centre of a canvas pixel, in mask pixels.
        let place = |at: usize, length: usize| (2 * at + 1) * length / (2 * side);
        let pixel = |n: usize| {
            let at = place(n / side, height) * width + place(n % side, width);
            mask.data().get(at).copied().unwrap_or(0)
        };
        Ok(Self { side, data: (0..side * side).map(pixel).collect() })
    }

    fn get(&self, x: usize, y: usize) -> u8 {
        self.data.get(y * self.side + x).copied().unwrap_or(0)
    }

    /// The class of a pixel at the rim of its class.
    fn rim_inside(&self, x: usize, y: usize, width: usize) -> Option<u8> {
        let own = self.get(x, y);
        (own > 0 && self.near(x, y, width).any(|other| other != own)).then_some(own)
    }

    /// The outline that runs outside of a class where there is background, and inside of it where there
    /// is another class. Of several classes beside one pixel of background the first is outlined.
    fn rim_outside(&self, x: usize, y: usize, width: usize) -> Option<TruthRim> {
        let own = self.get(x, y);
        if own == 0 {
            let class = self.near(x, y, width).filter(|other| *other > 0).min()?;
            return Some(TruthRim { class, is_between_classes: false });
        }
        let touches = self.near(x, y, width).any(|other| other > 0 && other != own);
        touches.then_some(TruthRim { class: own, is_between_classes: true })
    }

    /// The classes of the pixels at most `reach` away; there are none beyond the image, so that a mask
    /// that runs out of the image is open there.
    fn near(&self, x: usize, y: usize, reach: usize) -> impl Iterator<Item = u8> {
        let range = move |at: usize| at.saturating_sub(reach)..(at + reach + 1).min(self.side);
        range(y).flat_map(move |ny| {
            let inside = range(x).filter(move |nx| {
                // A diamond for one pixel, a near circle for two.
                let (dx, dy) = (nx.abs_diff(x), ny.abs_diff(y));
                dx * dx + dy * dy <= reach * reach
            });
            inside.map(move |nx| self.get(nx, ny))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of digits, each the class of a pixel.
    fn map(rows: &[&str]) -> LabelMask {
        let data = rows.concat().bytes().map(|digit| digit - b'0').collect();
        LabelMask::new(rows.len(), rows[0].len(), data).unwrap()
    }

    /// Letters of the outlines: `p` and `t` of class 1, `q` and `u` of class 2, a point where there is none.
    fn drawn(prediction: &LabelMask, truth: Option<&LabelMask>) -> Vec<String> {
        let side = prediction.height();
        let outlines = Outlines::new(prediction, truth, side).unwrap();
        let letter = |color: Option<[u8; 3]>| {
            let of = |class| [class_colors(class).prediction, class_colors(class).truth].map(Some);
            let known = [of(1), of(2)].concat();
            known.into_iter().zip("ptqu".chars()).find(|(c, _)| *c == color).map_or('.', |(_, l)| l)
        };
        (0..side).map(|y| (0..side).map(|x| letter(outlines.color(x, y))).collect()).collect()
    }

    const TOUCHING: [&str; 8] = [
        "00000000", "01112220", "01112220", "01112220", "01112220", "01112220", "01112220",
        "00000000",
    ];

    #[test]
    fn touching_classes_have_a_line_each() {
        // By hand: two blocks of 3 × 6 pixels side by side; each is outlined within itself, along the
        // other too.
        let mask = map(&TOUCHING);
        let block = "........ .pppqqq. .p.pq.q. .p.pq.q. .p.pq.q. .p.pq.q. .pppqqq. ........";
        assert_eq!(drawn(&mask, None).join(" "), block);
    }

    #[test]
    fn the_truth_of_touching_classes_has_a_line_each() {
        // By hand: outside of the blocks beside background, inside of them beside the other block.
        let mask = map(&TOUCHING);
        let none = map(&["00000000"; 8]);
        let block = ".tttuuu. t..tu..u t..tu..u t..tu..u t..tu..u t..tu..u t..tu..u .tttuuu.";
        assert_eq!(drawn(&none, Some(&mask)).join(" "), block);
        // Where prediction and truth agree, they take turns between the blocks, in squares of 4 × 4
        // pixels: columns 0 to 3 are the prediction's in rows 0 to 3, the truth's from row 4 on.
        let block = ".tttuuu. tpppuqqu tp.pu.qu tp.pu.qu tp.tq.qu tp.tq.qu tpptqqqu .tttuuu.";
        assert_eq!(drawn(&mask, Some(&mask)).join(" "), block);
    }

    #[test]
    fn background_between_two_classes_is_the_firsts() {
        let truth = map(&["000", "102", "000"]);
        let drawn = drawn(&map(&["000"; 3]), Some(&truth));
        assert_eq!(drawn.join(" "), "t.u .t. t.u");
    }
}
