//! Bilinear resizing of a square `u8` image as Pillow does it, which is how SAM's
//! `ResizeLongestSide` brings an image to its input side: fixed-point weights, first along rows,
//! then along columns, rounded to `u8` after each. Shrinking widens the triangle.

/// Bits after the point in Pillow's weights.
const PRECISION: u32 = 22;

/// The input pixels an output pixel is made of.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

/// Resizes `from × from` pixels to `to × to`.
pub(super) fn resize(image: &[u8], from: usize, to: usize) -> Vec<u8> {
    if from == to || from == 0 {
        return image.to_vec();
    }
    let windows: Vec<Window> = (0..to).map(|i| window(i, from, to)).collect();
    let mut wide = Vec::with_capacity(from * to);
    for row in image.chunks_exact(from) {
        for w in &windows {
            let pixels = row.iter().skip(w.start);
            wide.push(round(w.weights.iter().zip(pixels).map(|(k, &p)| k * i32::from(p)).sum()));
        }
    }
    let mut out = Vec::with_capacity(to * to);
    let mut sums = vec![0_i32; to];
    for w in &windows {
        sums.fill(0);
        for (k, row) in w.weights.iter().zip(wide.chunks_exact(to).skip(w.start)) {
            sums.iter_mut().zip(row).for_each(|(sum, &p)| *sum += k * i32::from(p));
        }
        out.extend(sums.iter().map(|&sum| round(sum)));
    }
    out
}

fn window(i: usize, from: usize, to: usize) -> Window {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let centre = (i as f64 + 0.5) * scale;
    let start = (centre - reach + 0.5).max(0.0) as usize;
    let end = ((centre + reach + 0.5) as usize).min(from);
    let triangle = |x: usize| {
        let distance = ((x as f64 - centre + 0.5) * (1.0 / reach)).abs();
        (1.0 - distance).max(0.0)
    };
    let raw: Vec<f64> = (start..end).map(triangle).collect();
    let total: f64 = raw.iter().sum();
    let fixed = |w: &f64| (w / total * f64::from(1 << PRECISION) + 0.5) as i32;
    Window { start, weights: raw.iter().map(fixed).collect() }
}

fn round(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_pillow() {
        // Pillow 13: Image.fromarray(a).resize((n, n), Image.BILINEAR) for
        // a = [[0, 200, 9], [255, 7, 90], [31, 64, 128]] and n = 2, 5.
        let image = [0, 200, 9, 255, 7, 90, 31, 64, 128];
        assert_eq!(resize(&image, 3, 2), PILLOW_2);
        assert_eq!(resize(&image, 3, 5), PILLOW_5);
        assert_eq!(resize(&image, 3, 3), image);
    }

    const PILLOW_2: [u8; 4] = [108, 73, 88, 87];
    const PILLOW_5: [u8; 25] = [
        0, 80, 200, 85, 9, 102, 110, 123, 74, 41, 255, 156, 7, 57, 90, 121, 89, 41, 84, 113, 31,
        44, 64, 102, 128,
    ];

    #[test]
    fn flat_stays_flat() {
        for (from, to) in [(1, 7), (64, 256), (288, 256), (288, 1024), (5, 2)] {
            for v in [0, 1, 128, 255] {
                assert_eq!(resize(&vec![v; from * from], from, to), vec![v; to * to]);
            }
        }
    }
}
