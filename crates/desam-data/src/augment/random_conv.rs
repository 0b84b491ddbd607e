//! Random convolutions: RandConv's single layer and GIN's small network, with weights that are drawn
//! for every image. They change contrast and texture and leave shapes alone.

use crate::noise::gaussian_pair;
use rand::Rng;

/// Slope of GIN's leaky ReLU below 0.
const LEAKY_SLOPE: f32 = 0.01;

/// Added to the norm that an image is divided by, as in GIN's program.
const NORM_EPSILON: f64 = 1e-5;

/// Channels between the layers of GIN.
const GIN_WIDTH: usize = 2;

/// Layers of GIN.
const GIN_LAYERS: usize = 4;

/// A convolution with drawn weights; the image is padded with zeros and keeps its size.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomConv {
    /// Side of the square kernel, odd.
    pub kernel: usize,
    /// Input channels.
    pub inputs: usize,
    /// Weights `[outputs, inputs, kernel, kernel]`.
    pub weights: Vec<f32>,
    /// One added number for each output channel.
    pub shifts: Vec<f32>,
}

impl RandomConv {
    /// Draws weights of mean 0 and standard deviation `deviation`, and as many shifts of deviation
    /// `shift`.
    fn draw(
        kernel: usize,
        [inputs, outputs]: [usize; 2],
        [deviation, shift]: [f64; 2],
        rng: &mut impl Rng,
    ) -> Self {
        let mut normal = |count: usize, deviation: f64| -> Vec<f32> {
            let pairs = (0..count.div_ceil(2)).flat_map(|_| gaussian_pair(rng));
            pairs.take(count).map(|v| (v * deviation) as f32).collect()
        };
        let weights = normal(outputs * inputs * kernel * kernel, deviation);
        Self { kernel, inputs, weights, shifts: normal(outputs, shift) }
    }

    /// Convolves channels of `side × side` pixels, one after the other in `image`.
    pub fn apply(&self, image: &[f32], side: usize) -> Vec<f32> {
        let plane = side * side;
        let taps = self.kernel * self.kernel;
        let mut out = Vec::with_capacity(self.shifts.len() * plane);
        let per_output = self.weights.chunks_exact((self.inputs * taps).max(1));
        for (&shift, weights) in self.shifts.iter().zip(per_output) {
            let mut sum = vec![shift; plane];
            for (channel, weights) in
                image.chunks_exact(plane.max(1)).zip(weights.chunks_exact(taps.max(1)))
            {
                for (tap, &weight) in weights.iter().enumerate() {
                    let offset = [tap / self.kernel, tap % self.kernel];
                    add_shifted(&mut sum, channel, side, offset.map(|o| self.toward(o)), weight);
                }
            }
            out.extend(sum);
        }
        out
    }

    /// Distance of kernel row or column `index` from the middle.
    fn toward(&self, index: usize) -> isize {
        index as isize - (self.kernel / 2) as isize
    }
}

/// Adds `weight` times the channel shifted by (rows, columns) to `sum`; zeros come in from outside.
fn add_shifted(sum: &mut [f32], channel: &[f32], side: usize, by: [isize; 2], weight: f32) {
    let side = side.max(1);
    let overlap = |by: isize| {
        let start = by.min(0).unsigned_abs().min(side);
        (start, side - by.max(0).unsigned_abs().min(side))
    };
    let [(first, last), (left, right)] = by.map(overlap);
    if left >= right {
        return;
    }
    for row in first..last {
        let from = row.wrapping_add_signed(by[0]) * side + left.wrapping_add_signed(by[1]);
        let to = &mut sum[row * side + left..row * side + right];
        let values = &channel[from..from + to.len()];
        to.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
    }
}

/// RandConv (Xu et al., ICLR 2021): one random convolution, mixed with the image.
#[derive(Debug, Clone, PartialEq)]
pub struct RandConv {
    /// The convolution, with as many outputs as inputs.
    pub conv: RandomConv,
    /// Share of the convolved image, 0 to 1.
    pub alpha: f32,
}

impl RandConv {
    /// The official program's distribution with mixing: a kernel of 1, 3, 5 or 7, weights
    /// `N(0, 1 / (c·k²))`, no shifts, a share drawn evenly.
    pub fn draw(channels: usize, rng: &mut impl Rng) -> Self {
        let kernel = [1, 3, 5, 7][rng.random_range(0..4_u32) as usize];
        let deviation = 1.0 / ((channels * kernel * kernel).max(1) as f64).sqrt();
        let conv = RandomConv::draw(kernel, [channels; 2], [deviation, 0.0], rng);
        Self { conv, alpha: rng.random::<f64>() as f32 }
    }

    /// Applies it to channels of `side × side` pixels.
    pub fn apply(&self, image: &[f32], side: usize) -> Vec<f32> {
        mixed(&self.conv.apply(image, side), image, self.alpha)
    }
}

/// GIN, global intensity non-linear augmentation (CSDG, Ouyang et al., IEEE TMI 2022): four random
/// convolutions with a leaky ReLU between them, mixed with the image and brought to its norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Gin {
    /// The convolutions, in order.
    pub layers: Vec<RandomConv>,
    /// Share of the network's output, 0 to 1.
    pub alpha: f32,
}

impl Gin {
    /// The official program's distribution: kernels of 1 or 3, weights and shifts `N(0, 1)`, widths
    /// `c`, 2, 2, 2, `c`, a share drawn evenly.
    pub fn draw(channels: usize, rng: &mut impl Rng) -> Self {
        let width = |at: usize| if at == 0 || at == GIN_LAYERS { channels } else { GIN_WIDTH };
        let layer = |at: usize| {
            let kernel = [1, 3][rng.random_range(0..2_u32) as usize];
            RandomConv::draw(kernel, [width(at), width(at + 1)], [1.0; 2], rng)
        };
        let layers = (0..GIN_LAYERS).map(layer).collect();
        Self { layers, alpha: rng.random::<f64>() as f32 }
    }

    /// Applies it to channels of `side × side` pixels, z-scored as in the official program.
    pub fn apply(&self, image: &[f32], side: usize) -> Vec<f32> {
        let mut values = image.to_vec();
        for (n, layer) in self.layers.iter().enumerate() {
            values = layer.apply(&values, side);
            if n + 1 < self.layers.len() {
                values.iter_mut().filter(|v| **v < 0.0).for_each(|v| *v *= LEAKY_SLOPE);
            }
        }
        let mut values = mixed(&values, image, self.alpha);
        let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let factor = (norm(image) / (norm(&values) + NORM_EPSILON)) as f32;
        values.iter_mut().for_each(|v| *v *= factor);
        values
    }
}

/// `alpha` of `changed` and the rest of `image`.
fn mixed(changed: &[f32], image: &[f32], alpha: f32) -> Vec<f32> {
    changed.iter().zip(image).map(|(c, i)| alpha * c + (1.0 - alpha) * i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_convolution_is_a_correlation_with_zeros_around() {
        // By hand: the kernel [[0, 0, 0], [0, 1, 10], [0, 100, 0]] sums the pixel itself, ten times its
        // right neighbour and a hundred times the one below; 5 is added.
        let weights = vec![0.0, 0.0, 0.0, 0.0, 1.0, 10.0, 0.0, 100.0, 0.0];
        let conv = RandomConv { kernel: 3, inputs: 1, weights, shifts: vec![5.0] };
        let out = conv.apply(&[1.0, 2.0, 3.0, 4.0], 2);
        assert_eq!(out, [326.0, 407.0, 48.0, 9.0]);
        // A kernel larger than the image reaches beyond it everywhere.
        let wide = RandomConv { kernel: 7, inputs: 1, weights: vec![1.0; 49], shifts: vec![0.0] };
        assert_eq!(wide.apply(&[1.0, 2.0, 3.0, 4.0], 2), [10.0; 4]);
    }

    #[test]
    fn channels_are_summed() {
        // By hand: two inputs, weights 2 and 3 of a kernel of one pixel.
        let conv = RandomConv { kernel: 1, inputs: 2, weights: vec![2.0, 3.0], shifts: vec![0.5] };
        assert_eq!(conv.apply(&[1.0, 10.0], 1), [32.5]);
    }

    #[test]
    fn gin_keeps_the_norm_and_nothing_changes_without_a_share() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let image: Vec<f32> = (0..64).map(|i| ((i * 13) % 17) as f32 - 8.0).collect();
        let norm = |v: &[f32]| v.iter().map(|v| v * v).sum::<f32>().sqrt();
        for _ in 0..20 {
            let gin = Gin::draw(1, &mut rng);
            assert!((norm(&gin.apply(&image, 8)) - norm(&image)).abs() < 1e-3);
            let same = Gin { alpha: 0.0, ..gin }.apply(&image, 8);
            assert!(same.iter().zip(&image).all(|(a, b)| (a - b).abs() < 1e-4));
            let conv = RandConv { alpha: 0.0, ..RandConv::draw(1, &mut rng) };
            assert_eq!(conv.apply(&image, 8), image);
        }
    }
}
