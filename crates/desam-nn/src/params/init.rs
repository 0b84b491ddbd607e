//! Parameter initialisation from a seed and the parameter's name.

use candle_core::{Device, Result, Shape, Tensor};
use candle_nn::Init;
use candle_nn::init::NormalOrUniform;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The ChaCha stream of a (seed, name): the FNV-1a hash of the name selects the stream, so the order of
/// construction does not matter.
fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}

/// Two standard normal numbers (Box-Muller transform).
fn normal_pair(rng: &mut ChaCha8Rng) -> [f64; 2] {
    let u: f64 = 1.0 - rng.random::<f64>();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    let radius = (-2.0 * u.ln()).sqrt();
    [radius * angle.cos(), radius * angle.sin()]
}

fn normal(rng: &mut ChaCha8Rng, count: usize, mean: f64, stdev: f64) -> Vec<f32> {
    let pairs = (0..count.div_ceil(2)).flat_map(|_| normal_pair(rng));
    pairs.take(count).map(|v| (mean + stdev * v) as f32).collect()
}

fn uniform(rng: &mut ChaCha8Rng, count: usize, lo: f64, up: f64) -> Vec<f32> {
    (0..count).map(|_| (lo + (up - lo) * rng.random::<f64>()) as f32).collect()
}

/// Initial value of parameter `name`: always the same for the same seed, name, shape and distribution.
pub(super) fn draw(
    seed: u64,
    name: &str,
    shape: &Shape,
    init: Init,
    device: &Device,
) -> Result<Tensor> {
    let mut rng = stream(seed, name);
    let count = shape.elem_count();
    let values = match init {
        Init::Const(value) => vec![value as f32; count],
        Init::Randn { mean, stdev } => normal(&mut rng, count, mean, stdev),
        Init::Uniform { lo, up } => uniform(&mut rng, count, lo, up),
        Init::Kaiming { dist, fan, non_linearity } => {
            let stdev = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            let bound = 3f64.sqrt() * stdev;
            match dist {
                NormalOrUniform::Normal => normal(&mut rng, count, 0.0, stdev),
                NormalOrUniform::Uniform => uniform(&mut rng, count, -bound, bound),
            }
        }
    };
    Tensor::from_vec(values, shape, device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u64, name: &str, init: Init) -> Vec<f32> {
        let t = draw(seed, name, &Shape::from((100, 101)), init, &Device::Cpu).unwrap();
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_same_seed_and_name_give_the_same_bits_and_others_do_not() {
        let init = Init::Uniform { lo: -1.0, up: 1.0 };
        assert_eq!(values(7, "a.weight", init), values(7, "a.weight", init));
        assert_ne!(values(7, "a.weight", init), values(8, "a.weight", init));
        assert_ne!(values(7, "a.weight", init), values(7, "b.weight", init));
    }

    #[test]
    fn normals_have_the_requested_moments() {
        let v = values(3, "n", Init::Randn { mean: 2.0, stdev: 0.5 });
        let n = v.len() as f32;
        let mean = v.iter().sum::<f32>() / n;
        let var = v.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n;
        // 10 100 draws: the mean's standard error is 0.005, the deviation's 0.0035.
        assert!((mean - 2.0).abs() < 0.03, "{mean}");
        assert!((var.sqrt() - 0.5).abs() < 0.02, "{var}");
    }

    #[test]
    fn uniforms_stay_inside_their_bounds_and_reach_towards_them() {
        let v = values(5, "u", Init::Uniform { lo: -0.25, up: 0.5 });
        assert!(v.iter().all(|x| (-0.25..=0.5).contains(x)));
        assert!(v.iter().any(|x| *x < -0.24) && v.iter().any(|x| *x > 0.49));
    }
}
