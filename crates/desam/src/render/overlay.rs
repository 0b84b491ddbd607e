//! Overlays: slices with the outlines of prediction and ground truth, as in the paper's Fig. 2.

use super::canvas::Canvas;
use super::outline::Outlines;
use crate::{Error, Result};
use desam_core::LabelMask;
use desam_data::preprocess::SliceImage;

/// Colour of the border within which predictions are zeroed before they are scored: a dashed line.
pub const BORDER_RGB: [u8; 3] = [154, 205, 50];

/// Length of the border's dashes, and of the gaps between them, in pixels.
const DASH: usize = 4;

/// Transparent pixels between the tiles of a montage.
const GAP: usize = 6;

/// One slice of a montage.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a> {
    /// The slice.
    pub image: &'a SliceImage,
    /// The classes of the prediction, 0 for background, over the whole image; any size.
    pub prediction: &'a LabelMask,
    /// Those of the ground truth, over the whole image; any size.
    pub truth: Option<&'a LabelMask>,
    /// Border within which predictions are zeroed before they are scored, in pixels of the prediction
    /// on each side; 0 draws none.
    pub border_px: usize,
}

/// One slice as a PNG, `image.side · scale` pixels wide and high: the image enlarged linearly,
/// the masks, which may be of any size, by the nearest pixel. Masks hold classes, 0 for background, and
/// each class is outlined in its own colours ([`class_colors`](super::class_colors)). The prediction's
/// outline is the rim of what is inside it, the truth's the rim of what is outside it, so that where the
/// two agree both are seen, side by side; where they cross, the prediction's is on top. Between two
/// classes that touch, each has its rim on its own side, and prediction and truth take turns where they
/// agree. Lines are one pixel wide in small pictures and two from 256 pixels on.
///
/// # Errors
/// When the image has not `side²` pixels, a mask or the scale is 0, or the picture would be huge.
pub fn overlay_png(
    image: &SliceImage,
    prediction: &LabelMask,
    truth: Option<&LabelMask>,
    scale: usize,
) -> Result<Vec<u8>> {
    tile_png(&Tile { image, prediction, truth, border_px: 0 }, scale)
}

/// The same with the border within which predictions are zeroed, as a dashed line around the scored
/// region.
///
/// # Errors
/// As [`overlay_png`].
pub fn tile_png(tile: &Tile<'_>, scale: usize) -> Result<Vec<u8>> {
    tile_canvas(tile, tile.image.side.saturating_mul(scale))?.png()
}

/// A tile alone on a canvas of `side` pixels.
pub(super) fn tile_canvas(tile: &Tile<'_>, side: usize) -> Result<Canvas> {
    let mut canvas = Canvas::transparent(side, side)?;
    draw(&mut canvas, tile, TilePlacement { x: 0, y: 0, side })?;
    Ok(canvas)
}

/// Several slices as one PNG, row by row, each `side` pixels wide and high whatever its image's
/// size, with a transparent gap between them. Each is drawn as [`overlay_png`] does.
///
/// # Errors
/// As [`overlay_png`]; and when there are no tiles or no columns.
pub fn montage_png(tiles: &[Tile<'_>], columns: usize, side: usize) -> Result<Vec<u8>> {
    let columns = columns.min(tiles.len());
    if columns == 0 {
        return Err(Error::Invalid("a montage needs at least one tile and one column".into()));
    }
    let length = |n: usize| n.saturating_mul(side.saturating_add(GAP)).saturating_sub(GAP);
    let rows = tiles.len().div_ceil(columns);
    let mut canvas = Canvas::transparent(length(columns), length(rows))?;
    for (n, tile) in tiles.iter().enumerate() {
        let (row, column) = (n / columns, n % columns);
        let place = TilePlacement { x: column * (side + GAP), y: row * (side + GAP), side };
        draw(&mut canvas, tile, place)?;
    }
    canvas.png()
}

/// One slice as a small PNG, `side` pixels wide and high whatever its image's size, drawn as
/// [`overlay_png`] does in half as many greys: a page may hold hundreds of them.
///
/// # Errors
/// As [`overlay_png`].
pub fn small_png(tile: &Tile<'_>, side: usize) -> Result<Vec<u8>> {
    let mut canvas = tile_canvas(tile, side)?;
    canvas.halve_greys();
    canvas.png()
}

/// Placement of a tile on the canvas, in pixels.
#[derive(Debug, Clone, Copy)]
struct TilePlacement {
    x: usize,
    y: usize,
    side: usize,
}

fn draw(canvas: &mut Canvas, tile: &Tile<'_>, place: TilePlacement) -> Result<()> {
    let side = place.side;
    let channels = enlarged(tile.image, side)?;
    for n in 0..side * side {
        // Grey is the level of all three colours.
        let level = |c: usize| channels.get(c).or(channels.first()).and_then(|c| c.get(n)).copied();
        let color = [0, 1, 2].map(|c| level(c).unwrap_or(0));
        canvas.set(place.x + n % side, place.y + n / side, color);
    }
    for (x, y) in border(tile, side) {
        canvas.set(place.x + x, place.y + y, BORDER_RGB);
    }
    let outlines = Outlines::new(tile.prediction, tile.truth, side)?;
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        if let Some(color) = outlines.color(x, y) {
            canvas.set(place.x + x, place.y + y, color);
        }
    }
    Ok(())
}

/// Canvas pixels of the dashed line around the scored region: the outermost that lie inside.
fn border(tile: &Tile<'_>, side: usize) -> Vec<(usize, usize)> {
    let (height, width) = (tile.prediction.height(), tile.prediction.width());
    let first = |length: usize| (tile.border_px * side).checked_div(length).unwrap_or(0);
    let (left, top) = (first(width), first(height));
    if tile.border_px == 0 || 2 * left.max(top) >= side {
        return Vec::new();
    }
    let (right, bottom) = (side - 1 - left, side - 1 - top);
    let dashed = |at: usize| (at / DASH).is_multiple_of(2);
    let across = (left..=right).filter(|x| dashed(*x)).flat_map(|x| [(x, top), (x, bottom)]);
    let down = (top..=bottom).filter(|y| dashed(*y)).flat_map(|y| [(left, y), (right, y)]);
    across.chain(down).collect()
}

/// The channels of an image at `side × side` pixels: one of grey, or red, green and blue.
fn enlarged(image: &SliceImage, side: usize) -> Result<Vec<Vec<u8>>> {
    let (own, found) = (image.side, image.data.len());
    let pixels = own.checked_mul(own).filter(|pixels| *pixels > 0);
    if !pixels.is_some_and(|n| n == found || n.checked_mul(3) == Some(found)) {
        return Err(desam_core::Error::shape("image pixels", (own, own), found).into());
    }
    Ok(image.channels().map(|channel| enlarged_channel(channel, own, side)).collect())
}

/// `own × own` pixels at `side × side`, linear between pixel centres.
fn enlarged_channel(pixels: &[u8], own: usize, side: usize) -> Vec<u8> {
    let at = |x: usize, y: usize| pixels.get(y * own + x).copied().map_or(0.0, f32::from);
    let between: Vec<(usize, usize, f32)> = (0..side)
        .map(|n| {
            let place = (n as f32 + 0.5) * own as f32 / side as f32 - 0.5;
            let place = place.clamp(0.0, (own - 1) as f32);
            let first = (place as usize).min(own - 1);
            (first, (first + 1).min(own - 1), place - first as f32)
        })
        .collect();
    let mut out = Vec::with_capacity(side * side);
    for &(y0, y1, ty) in &between {
        for &(x0, x1, tx) in &between {
            let upper = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * tx;
            let lower = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * tx;
            out.push((upper + (lower - upper) * ty + 0.5) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{PREDICTION_RGB, TRUTH_RGB, class_colors};
    use desam_core::BinaryMask;

    struct Decoded {
        width: usize,
        channels: usize,
        data: Vec<u8>,
    }

    impl Decoded {
        fn of(png: &[u8]) -> Self {
            let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().unwrap();
            let mut data = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut data).unwrap();
            data.truncate(info.buffer_size());
            // Palettes are unpacked.
            Self { width: info.width as usize, channels: info.color_type.samples(), data }
        }

        fn at(&self, x: usize, y: usize) -> &[u8] {
            let start = (y * self.width + x) * self.channels;
            &self.data[start..start + self.channels]
        }
    }

    fn grey(side: usize) -> SliceImage {
        SliceImage { side, data: vec![100; side * side] }
    }

    fn square(side: usize, from: usize, to: usize) -> LabelMask {
        let inside =
            |n: usize| (from..to).contains(&(n / side)) && (from..to).contains(&(n % side));
        LabelMask::new(side, side, (0..side * side).map(|n| u8::from(inside(n))).collect()).unwrap()
    }

    #[test]
    fn outlines_are_where_they_belong() {
        // By hand, one to one: the prediction covers 4..12, so its rim is row 4; the truth covers
        // 6..10, so the rim outside it is row 5.
        let png = overlay_png(&grey(16), &square(16, 4, 12), Some(&square(16, 6, 10)), 1).unwrap();
        let picture = Decoded::of(&png);
        assert_eq!((picture.width, picture.channels), (16, 3));
        for (place, colour) in [
            ((4, 4), PREDICTION_RGB),
            ((8, 4), PREDICTION_RGB),
            ((11, 8), PREDICTION_RGB),
            ((8, 5), TRUTH_RGB),
            ((10, 8), TRUTH_RGB),
            ((8, 8), [100; 3]),
            ((8, 3), [100; 3]),
            ((3, 8), [100; 3]),
            ((12, 8), [100; 3]),
            ((5, 5), [100; 3]),
        ] {
            assert_eq!(picture.at(place.0, place.1), colour, "{place:?}");
        }
    }

    #[test]
    fn every_class_has_its_own_outline() {
        // By hand: class 1 covers columns 4 to 7, class 2 columns 8 to 11, of rows 4 to 11; the rims
        // are columns 4 and 7, and 8 and 11.
        let mut mask = square(16, 4, 12).into_data();
        mask.iter_mut().enumerate().filter(|(n, _)| n % 16 >= 8).for_each(|(_, v)| *v *= 2);
        let mask = LabelMask::new(16, 16, mask).unwrap();
        let picture = Decoded::of(&overlay_png(&grey(16), &mask, None, 1).unwrap());
        let row: Vec<&[u8]> = (3..13).map(|x| picture.at(x, 8)).collect();
        let [first, second, grey] =
            [class_colors(1).prediction, class_colors(2).prediction, [100; 3]];
        let expected = [grey, first, grey, grey, first, second, grey, grey, second, grey];
        assert_eq!(row, expected);
    }

    #[test]
    fn where_both_agree_both_are_seen() {
        let mask = square(16, 4, 12);
        let picture = Decoded::of(&overlay_png(&grey(16), &mask, Some(&mask), 1).unwrap());
        assert_eq!(picture.at(8, 4), PREDICTION_RGB);
        assert_eq!(picture.at(8, 3), TRUTH_RGB);
    }

    #[test]
    fn the_border_is_a_dashed_line_around_what_is_scored() {
        // By hand: a border of 1 of 4 pixels is 8 of 32 on the screen, so that what is scored begins
        // at 8 and ends at 23; dashes are at 8 to 11, 16 to 19, ….
        let (image, none) = (grey(8), square(4, 0, 0));
        let tile = Tile { image: &image, prediction: &none, truth: None, border_px: 1 };
        let picture = Decoded::of(&tile_png(&tile, 4).unwrap());
        for (place, colour) in [
            ((8, 8), BORDER_RGB),
            ((11, 8), BORDER_RGB),
            ((16, 23), BORDER_RGB),
            ((8, 17), BORDER_RGB),
            ((23, 17), BORDER_RGB),
            ((12, 8), [100; 3]),
            ((7, 8), [100; 3]),
            ((16, 24), [100; 3]),
            ((16, 16), [100; 3]),
        ] {
            assert_eq!(picture.at(place.0, place.1), colour, "{place:?}");
        }
        // An outline is on top of it, and a border that leaves nothing is not drawn.
        let whole = square(4, 1, 3);
        let tile = Tile { prediction: &whole, ..tile };
        assert_eq!(Decoded::of(&tile_png(&tile, 4).unwrap()).at(8, 8), PREDICTION_RGB);
        let tile = Tile { prediction: &none, border_px: 2, ..tile };
        assert_eq!(Decoded::of(&tile_png(&tile, 4).unwrap()).at(16, 16), [100; 3]);
    }

    #[test]
    fn masks_of_other_sides_are_scaled() {
        // By hand: a mask of 4 × 4 with its middle set covers 8..24 of 32 pixels.
        let mask = square(4, 1, 3);
        let picture = Decoded::of(&overlay_png(&grey(8), &mask, None, 4).unwrap());
        assert_eq!(picture.width, 32);
        assert_eq!(picture.at(8, 8), PREDICTION_RGB);
        assert_eq!(picture.at(23, 16), PREDICTION_RGB);
        assert_eq!(picture.at(24, 16), [100; 3]);
        assert_eq!(picture.at(9, 9), [100; 3]);
    }

    #[test]
    fn large_pictures_have_two_pixels_of_line() {
        let picture = Decoded::of(&overlay_png(&grey(96), &square(96, 24, 72), None, 4).unwrap());
        let row: Vec<bool> = (96..100).map(|y| picture.at(192, y) == PREDICTION_RGB).collect();
        assert_eq!(row, [true, true, false, false]);
    }

    #[test]
    fn enlarging_is_linear() {
        // By hand: 0 and 200, twice as wide, are 0, 50, 150, 200.
        let image = SliceImage { side: 2, data: vec![0, 200, 0, 200] };
        assert_eq!(enlarged(&image, 4).unwrap()[0][..4], [0, 50, 150, 200]);
    }

    #[test]
    fn colour_is_drawn_in_colour() {
        let image = SliceImage { side: 8, data: [[90; 64], [60; 64], [30; 64]].concat() };
        let picture = Decoded::of(&overlay_png(&image, &square(8, 2, 4), None, 1).unwrap());
        assert_eq!((picture.at(0, 0), picture.at(2, 2)), (&[90, 60, 30][..], &PREDICTION_RGB[..]));
    }

    #[test]
    fn a_montage_has_gaps_that_show_what_is_behind() {
        let (image, mask) = (grey(8), square(8, 0, 0));
        let tile = Tile { image: &image, prediction: &mask, truth: None, border_px: 0 };
        let picture = Decoded::of(&montage_png(&[tile; 3], 2, 16).unwrap());
        assert_eq!((picture.width, picture.channels), (2 * 16 + GAP, 4));
        assert_eq!(picture.data.len(), 4 * picture.width * picture.width);
        assert_eq!(picture.at(15, 15), [100, 100, 100, 255]);
        assert_eq!(picture.at(16, 5), [0; 4]);
        assert_eq!(picture.at(22, 5), [100, 100, 100, 255]);
        // The fourth cell stays empty.
        assert_eq!(picture.at(30, 30), [0; 4]);
        // No more columns than tiles.
        assert_eq!(Decoded::of(&montage_png(&[tile], 5, 16).unwrap()).width, 16);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let mask = square(8, 2, 4);
        let broken = SliceImage { side: 8, data: vec![0; 63] };
        let none = SliceImage { side: 0, data: Vec::new() };
        assert!(overlay_png(&broken, &mask, None, 1).is_err());
        assert!(overlay_png(&none, &mask, None, 1).is_err());
        assert!(overlay_png(&grey(8), &mask, None, 0).is_err());
        assert!(overlay_png(&grey(8), &mask, None, usize::MAX).is_err());
        assert!(overlay_png(&grey(8), &BinaryMask::empty(0, 3).into(), None, 1).is_err());
        let image = grey(8);
        let tile = Tile { image: &image, prediction: &mask, truth: None, border_px: 0 };
        assert!(montage_png(&[], 3, 16).is_err());
        assert!(montage_png(&[tile], 0, 16).is_err());
        assert!(montage_png(&[tile; 2], 2, 0).is_err());
    }
}
