//! Cubic spline resizing of a slice, as scikit-image's `resize(order=3, mode="constant",
//! anti_aliasing=True, preserve_range=True)` does it on a `u8` image, decimals cut off.
//!
//! The decimals are cut off at the end, so a last bit can decide: sums run in the order in which
//! the reference runs them.

/// Zeros around the image before the spline is fitted; the spline feels a neighbour 12 pixels
/// away by less than 1e-6.
const MARGIN: usize = 12;
/// The pole of the cubic B-spline, √3 - 2 rounded once. Subtracting in `f64` would be off in the
/// last bits, and flat regions would come out one level lower or higher than the reference.
const POLE: f64 = -0.267_949_192_431_122_7;

/// A plane of numbers, row by row.
struct Plane {
    height: usize,
    width: usize,
    data: Vec<f64>,
}

/// Resizes `height × width` pixels to `side × side`.
pub(super) fn resize(image: &[u8], height: usize, width: usize, side: usize) -> Vec<u8> {
    let (Some(&low), Some(&high)) = (image.iter().min(), image.iter().max()) else {
        return vec![0; side * side];
    };
    if height == side && width == side {
        return image.to_vec();
    }
    let data = image.iter().map(|&v| f64::from(v)).collect();
    let smooth = smooth(Plane { height, width, data }, side);
    let spline = fit(pad(&smooth));
    let out = evaluate(&spline, [height, width], side);
    // Splines overshoot: held to the range of the slice, which reaches down to the surrounding
    // zeros where the result does.
    let reaches_zero = out.iter().any(|&v| v <= 0.0);
    let low = if reaches_zero { 0.0 } else { f64::from(low) };
    out.into_iter().map(|v| v.clamp(low, f64::from(high)) as u8).collect()
}

/// Half the width, in pixels, of the Gaussian that smooths `from` pixels before they become `to`.
pub(super) fn smoothing_radius(from: usize, to: usize) -> usize {
    (4.0 * smoothing_sigma(from, to) + 0.5) as usize
}

fn smoothing_sigma(from: usize, to: usize) -> f64 {
    ((from as f64 / to as f64 - 1.0) / 2.0).max(0.0)
}

/// Smooths each axis that is about to shrink; outside the image lie zeros.
fn smooth(mut plane: Plane, side: usize) -> Plane {
    let (height, width) = (plane.height, plane.width);
    if let Some(kernel) = gaussian(height, side) {
        let mut column = vec![0.0; height];
        for c in 0..width {
            column.iter_mut().enumerate().for_each(|(r, v)| *v = plane.data[r * width + c]);
            for r in 0..height {
                plane.data[r * width + c] = correlate(&column, &kernel, r);
            }
        }
    }
    if let Some(kernel) = gaussian(width, side) {
        for row in plane.data.chunks_exact_mut(width) {
            let line = row.to_vec();
            row.iter_mut().enumerate().for_each(|(c, v)| *v = correlate(&line, &kernel, c));
        }
    }
    plane
}

/// Weights of the middle and one flank, adding up to 1 over both; `None` where nothing shrinks.
fn gaussian(from: usize, to: usize) -> Option<Vec<f64>> {
    let (sigma, radius) = (smoothing_sigma(from, to), smoothing_radius(from, to));
    if radius == 0 {
        return None;
    }
    let weight = |x: usize| (-0.5 / (sigma * sigma) * (x * x) as f64).exp();
    let total = (1..=radius).rev().chain(0..=radius).map(weight).sum::<f64>();
    Some((0..=radius).map(|x| weight(x) / total).collect())
}

fn correlate(line: &[f64], kernel: &[f64], at: usize) -> f64 {
    let get = |i: Option<usize>| i.and_then(|i| line.get(i)).copied().unwrap_or(0.0);
    let mut sum = line[at] * kernel[0];
    for (distance, weight) in kernel.iter().enumerate().skip(1).rev() {
        sum += (get(at.checked_sub(distance)) + get(at.checked_add(distance))) * weight;
    }
    sum
}

fn pad(plane: &Plane) -> Plane {
    let (height, width) = (plane.height + 2 * MARGIN, plane.width + 2 * MARGIN);
    let mut data = vec![0.0; height * width];
    for (r, row) in plane.data.chunks_exact(plane.width).enumerate() {
        let start = (r + MARGIN) * width + MARGIN;
        data[start..start + plane.width].copy_from_slice(row);
    }
    Plane { height, width, data }
}

/// Pixels to the coefficients of the cubic B-spline through them.
fn fit(mut plane: Plane) -> Plane {
    let (height, width) = (plane.height, plane.width);
    let mut column = vec![0.0; height];
    for c in 0..width {
        column.iter_mut().enumerate().for_each(|(r, v)| *v = plane.data[r * width + c]);
        fit_line(&mut column);
        column.iter().enumerate().for_each(|(r, v)| plane.data[r * width + c] = *v);
    }
    plane.data.chunks_exact_mut(width).for_each(fit_line);
    plane
}

/// A line's values to the coefficients of the cubic B-spline through them: the recursive filter of Unser,
/// Aldroubi and Eden (1991) with mirrored ends, for lines of at least two values.
pub(crate) fn fit_line(c: &mut [f64]) {
    let gain = (1.0 - POLE) * (1.0 - 1.0 / POLE);
    c.iter_mut().for_each(|v| *v *= gain);
    let last = c.len() - 1;
    let far = POLE.powi(last as i32);
    let mut power = POLE;
    let mut first = c[0] + far * c[last];
    for i in 1..last {
        first += power * (c[i] + far * c[last - i]);
        power *= POLE;
    }
    c[0] = first / (1.0 - far * far);
    for i in 1..=last {
        c[i] += POLE * c[i - 1];
    }
    c[last] = (POLE * c[last - 1] + c[last]) * POLE / (POLE * POLE - 1.0);
    for i in (0..last).rev() {
        c[i] = POLE * (c[i + 1] - c[i]);
    }
}

/// Taps of cubic spline interpolation for an output pixel: index of the first of four coefficients,
/// and their weights.
struct SplineTaps {
    start: usize,
    weights: [f64; 4],
}

/// Weights of the four coefficients around a position, at the fraction `y` behind the second.
pub(crate) fn weights(y: f64) -> [f64; 4] {
    let z = 1.0 - y;
    let w0 = z * z * z / 6.0;
    let w1 = (y * y * (y - 2.0) * 3.0 + 4.0) / 6.0;
    let w2 = (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0;
    // The last is what the others leave of 1.
    [w0, w1, w2, 1.0 - w0 - w1 - w2]
}

fn taps(from: usize, to: usize) -> Vec<SplineTaps> {
    let zoom = from as f64 / to as f64;
    let place = |i: usize| {
        let place = (i as f64 + 0.5) * zoom - 0.5 + MARGIN as f64;
        let y = place - place.floor();
        SplineTaps { start: place.floor() as usize - 1, weights: weights(y) }
    };
    (0..to).map(place).collect()
}

fn evaluate(spline: &Plane, [height, width]: [usize; 2], side: usize) -> Vec<f64> {
    let (rows, columns) = (taps(height, side), taps(width, side));
    let mut out = Vec::with_capacity(side * side);
    for row in &rows {
        for column in &columns {
            let mut sum = 0.0;
            for (r, wr) in row.weights.iter().enumerate() {
                let start = (row.start + r) * spline.width + column.start;
                let line = &spline.data[start..start + 4];
                for (value, wc) in line.iter().zip(&column.weights) {
                    sum += value * wr * wc;
                }
            }
            out.push(sum);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels from a linear congruential generator, the same as in the script that made the
    /// expected values.
    fn noise(count: usize, mut seed: u64) -> Vec<u8> {
        let mut next = || {
            seed = (seed * 1_103_515_245 + 12_345) % (1 << 31);
            (seed >> 16) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn agrees_with_scikit_image() {
        // scikit-image 0.26, SciPy 1.17: resize(noise, (side, side), order=3, mode="constant",
        // preserve_range=True, anti_aliasing=True).astype(uint8).
        let shrunk = [167, 151, 201, 155, 126, 152, 122, 117, 87];
        assert_eq!(resize(&noise(35, 1), 5, 7, 3), shrunk);
        let enlarged = [
            96, 33, 28, 203, 183, 47, 168, 137, 93, 199, 222, 128, 204, 255, 164, 68, 157, 203,
            181, 244, 156, 32, 110, 172, 111, 104, 73, 113, 107, 52, 46, 3, 10, 126, 81, 0,
        ];
        assert_eq!(resize(&noise(12, 2), 3, 4, 6), enlarged);
        let both = [85, 173, 203, 135, 75, 155, 162, 86, 38, 64, 104, 105, 109, 57, 64, 120];
        assert_eq!(resize(&noise(18, 3), 6, 3, 4), both);
        let far = [94, 113, 120, 101, 150, 110, 91, 120, 160];
        assert_eq!(resize(&noise(81, 4), 9, 9, 3), far);
    }

    #[test]
    fn flat_slices_stay_flat() {
        for (height, width, side) in [(1, 1, 4), (384, 384, 64), (35, 51, 64), (2, 900, 16)] {
            for level in [0, 77, 255] {
                let out = resize(&vec![level; height * width], height, width, side);
                assert_eq!(out, vec![level; side * side], "{height}×{width} → {side}");
            }
        }
        assert_eq!(resize(&[], 0, 0, 2), [0; 4]);
    }
}
