//! One convolution of PIMM.

use crate::{Result, Subject};
use desam::candle::{self, Tensor, Var};
use desam::nn::gradients::backward;
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
}

#[derive(Clone, Copy)]
enum Op {
    /// Stride 1, a square kernel of this side.
    Same(usize),
    /// Transposed, 2×2, stride 2.
    Up,
}

/// How far it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    /// With both gradients, from ones, as the other side.
    Both,
    /// The same by candle's own way back, which adds every gradient to zeros. An input that another
    /// op has made still goes this way.
    Candle,
}

pub(crate) struct Conv {
    op: Op,
    x: Tensor,
    weight: Tensor,
    pass: Pass,
}

impl Conv {
    pub(crate) fn new(op: &str, shape: &Shape, pass: &str) -> Result<Self> {
        let &Shape { inputs, outputs, side, batch } = shape;
        let (op, kernel) = match op {
            "3x3" => (Op::Same(3), [outputs, inputs, 3, 3]),
            "1x1" => (Op::Same(1), [outputs, inputs, 1, 1]),
            "up" => (Op::Up, [inputs, outputs, 2, 2]),
            _ => return Err(format!("no such convolution: {op:?}").into()),
        };
        let pass = match pass {
            "forward" => Pass::Forward,
            "both" => Pass::Both,
            "candle" => Pass::Candle,
            _ => return Err(format!("no such pass: {pass:?}").into()),
        };
        let tracked = |t: Tensor| -> candle::Result<Tensor> {
            match pass {
                Pass::Forward => Ok(t),
                Pass::Both | Pass::Candle => Ok(Var::from_tensor(&t)?.into_inner()),
            }
        };
        Ok(Self {
            op,
            x: tracked(wave(&[batch, inputs, side, side], 0.0))?,
            weight: tracked((wave(&kernel, 0.0) * 0.05)?)?,
            pass,
        })
    }

    fn forward(&self) -> candle::Result<Tensor> {
        match self.op {
            Op::Same(side) => conv2d(&self.x, &self.weight, Conv2dConfig::same(side)),
            Op::Up => conv_transpose2x2(&self.x, &self.weight),
        }
    }
}

impl Subject for Conv {
    fn run(&mut self) -> Result<()> {
        let y = self.forward()?;
        match self.pass {
            Pass::Forward => drop(black_box(y)),
            Pass::Both => drop(black_box(backward(&y)?)),
            Pass::Candle => drop(black_box(y.backward()?)),
        }
        Ok(())
    }
}
