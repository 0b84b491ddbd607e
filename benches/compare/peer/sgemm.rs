//! A large f32 matrix product: what the arithmetic of everything else is held against.

use crate::{Result, Subject};
use desam::candle::Tensor;
use desam_benches::wave;
use std::hint::black_box;

pub(crate) struct Sgemm {
    a: Tensor,
    b: Tensor,
}

impl Sgemm {
    pub(crate) fn new(n: usize) -> Result<Self> {
        Ok(Self { a: wave(&[n, n], 0.0), b: wave(&[n, n], 1.0) })
    }
}

impl Subject for Sgemm {
    fn run(&mut self) -> Result<()> {
        black_box(self.a.matmul(&self.b)?);
        Ok(())
    }
}
