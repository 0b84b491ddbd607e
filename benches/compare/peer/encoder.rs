//! The frozen image encoder, one image.

use crate::{Result, Subject};
use desam::candle::Tensor;
use desam::encoder::{FrozenSam, LoadedSam, VitConfig};
use desam::nn::params::Tensors;
use desam::types::ImageEncoder;
use desam_benches::wave;
use std::hint::black_box;

pub(crate) struct Encoder {
    model: LoadedSam,
    pixels: Tensor,
}

impl Encoder {
    pub(crate) fn new(preset: &str, side: usize) -> Result<Self> {
        let config = VitConfig { input_side: side, ..VitConfig::preset(preset)? };
        let pixels = wave(&[1, 3, side, side], 0.5);
        Ok(Self { model: FrozenSam::random(&config, 0)?, pixels })
    }
}

impl Subject for Encoder {
    fn run(&mut self) -> Result<()> {
        black_box(self.model.sam.image.encode(&self.pixels)?);
        Ok(())
    }

    fn dump(&mut self) -> Result<Tensors> {
        let features = self.model.sam.image.encode(&self.pixels)?;
        let mut out = self.model.tensors.clone();
        out.insert("input.pixels".into(), self.pixels.clone());
        for (i, tap) in features.taps.into_iter().enumerate() {
            out.insert(format!("output.tap{i}"), tap);
        }
        out.insert("output.embedding".into(), features.embedding);
        Ok(out)
    }
}
