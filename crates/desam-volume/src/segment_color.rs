//! Colours of segments, for files that carry them.

/// Red, green and blue of the segments of classes 1, 2, …: bright enough for dark images, and told apart
/// by lightness where hues are not.
pub const SEGMENT_RGB: [[u8; 3]; 8] = [
    [255, 165, 0],
    [0, 255, 229],
    [255, 80, 255],
    [255, 255, 0],
    [215, 60, 0],
    [90, 80, 240],
    [0, 170, 70],
    [205, 0, 85],
];

/// Steps of darkness that tell classes beyond the colours apart.
const STEPS: usize = 4;

/// Colour of the segment of class `class`, from 1; those after the eighth are darker shades of the first.
pub(crate) fn segment_rgb(class: usize) -> [u8; 3] {
    let index = class.saturating_sub(1);
    let [color, step] = [index % SEGMENT_RGB.len(), index / SEGMENT_RGB.len() % STEPS];
    // Never above the colour itself, which has 8 bits.
    SEGMENT_RGB[color].map(|v| (usize::from(v) * (STEPS + 1 - step) / (STEPS + 1)) as u8)
}

/// An sRGB colour as CIELab of ICC's connection space (white D50), in DICOM's encoding: L* of 0 to 100
/// and a*, b* of −128 to 127, each on 0 to 65535 (PS3.3, C.10.7.1.1).
#[cfg(feature = "dicom")]
pub(crate) fn dicom_cielab(rgb: [u8; 3]) -> [u16; 3] {
    // sRGB (IEC 61966-2-1) to XYZ with white D65, adapted to D50 by Bradford's matrix, and that white.
    const TO_XYZ: [[f64; 3]; 3] = [
        [0.436_074_7, 0.385_064_9, 0.143_080_4],
        [0.222_504_5, 0.716_878_6, 0.060_616_9],
        [0.013_932_2, 0.097_104_5, 0.714_173_3],
    ];
    let linear = rgb.map(|v| {
        let v = f64::from(v) / 255.0;
        if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let [x, y, z] = TO_XYZ.map(|row| {
        let [value, white] = [linear, [1.0; 3]]
            .map(|color| row.iter().zip(color).map(|(weight, c)| weight * c).sum::<f64>());
        let t = value / white;
        let cube = (6.0_f64 / 29.0).powi(3);
        if t > cube { t.cbrt() } else { t * (29.0_f64 / 6.0).powi(2) / 3.0 + 4.0 / 29.0 }
    });
    let lightness = (116.0 * y - 16.0) / 100.0;
    let [a, b] = [500.0 * (x - y), 200.0 * (y - z)].map(|v| (v + 128.0) / 255.0);
    // Conversion saturates.
    [lightness, a, b].map(|share| (share * 65535.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_color() {
        let all: std::collections::BTreeSet<_> =
            (1..=desam_core::MAX_CLASSES).map(segment_rgb).collect();
        assert_eq!(all.len(), desam_core::MAX_CLASSES);
        // By hand: the ninth is four fifths of the first.
        assert_eq!((segment_rgb(1), segment_rgb(9)), ([255, 165, 0], [204, 132, 0]));
    }

    #[cfg(feature = "dicom")]
    #[test]
    fn colors_in_cielab() {
        // By definition.
        assert_eq!(dicom_cielab([0; 3]), [0, 32896, 32896]);
        assert_eq!(dicom_cielab([255; 3]), [65535, 32896, 32896]);
        // colour-science 0.4.7, Bradford's adaptation to D50; its whites have other digits.
        for (rgb, expected) in [
            ([255, 165, 0], [49537, 39970, 53232]),
            ([0, 255, 229], [59024, 18450, 32262]),
            ([205, 0, 85], [29111, 50977, 36728]),
        ] {
            let near = |(found, expected): (u16, i32)| (i32::from(found) - expected).abs() <= 20;
            let found = dicom_cielab(rgb);
            assert!(found.into_iter().zip(expected).all(near), "{rgb:?}: {found:?}");
        }
    }
}
