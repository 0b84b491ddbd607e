//! One convolution of PIMM.

use crate::{Result, Subject};
use desam::candle::{self, Tensor, Var};
use desam::nn::ops::conv_transpose2d::conv_transpose2x2;
use desam::nn::ops::conv2d::{Conv2dConfig, conv2d};
use desam_benches::wave;
use std::hint::black_box;

/// Sizes of a convolution.
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Of the input, pixels.
    pub(crate) side: usize,
    pub(crate) batch: usize,
    /// How many maps of equal channels the input is a concatenation of.
    pub(crate) parts: usize,
}

#[derive(Clone, Copy)]
enum Op {
    /// Stride 1, a square kernel of this side.
    Same(usize),
    /// Transposed, 2×2, stride 2.
    Up,
}

pub(crate) struct Conv {
    op: Op,
    /// The maps that a concatenated input consists of; each is convolved with its share of the
    /// kernel and the results are added, as PIMM does it.
    parts: Vec<Tensor>,
    weight: Tensor,
    both: bool,
}

impl Conv {
    pub(crate) fn new(op: &str, shape: &Shape, both: bool) -> Result<Self> {
        let &Shape { inputs, outputs, side, batch, parts } = shape;
        let (op, kernel) = match op {
            "3x3" => (Op::Same(3), [outputs, inputs, 3, 3]),
            "1x1" => (Op::Same(1), [outputs, inputs, 1, 1]),
            "up" => (Op::Up, [inputs, outputs, 2, 2]),
            _ => return Err(format!("no such convolution: {op:?}").into()),
        };
        let tracked = |t: Tensor| -> candle::Result<Tensor> {
            match both {
                true => Ok(Var::from_tensor(&t)?.into_inner()),
                false => Ok(t),
            }
        };
        let input = |i| tracked(wave(&[batch, inputs / parts, side, side], i as f64));
        Ok(Self {
            op,
            parts: (0..parts).map(input).collect::<candle::Result<_>>()?,
            weight: tracked((wave(&kernel, 0.0) * 0.05)?)?,
            both,
        })
    }

    fn forward(&self) -> candle::Result<Tensor> {
        let one = |x: &Tensor, kernel: &Tensor| match self.op {
            Op::Same(side) => conv2d(x, kernel, Conv2dConfig::same(side)),
            Op::Up => conv_transpose2x2(x, kernel),
        };
        let [x] = self.parts.as_slice() else {
            let mut sum: Option<Tensor> = None;
            let mut first = 0;
            for x in &self.parts {
                let channels = x.dim(1)?;
                let y = one(x, &self.weight.narrow(1, first, channels)?)?;
                first += channels;
                sum = Some(match sum {
                    Some(sum) => (sum + y)?,
                    None => y,
                });
            }
            return sum.ok_or_else(|| candle::Error::Msg("no input".into()));
        };
        one(x, &self.weight)
    }
}

impl Subject for Conv {
    fn run(&mut self) -> Result<()> {
        let y = self.forward()?;
        match self.both {
            // From ones, as the other side.
            true => drop(black_box(y.backward()?)),
            false => drop(black_box(y)),
        }
        Ok(())
    }
}
