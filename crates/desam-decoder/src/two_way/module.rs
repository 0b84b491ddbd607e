//! The two-way transformer layer by layer, with gradients: the reference for the other engines, and
//! what training runs.

use super::block::TwoWayBlock;
use super::{Engine, FinalLayer, TokenInputs, TwoWayOutput, TwoWayTransformer};
use candle_core::{Result, Tensor};
use desam_nn::layers::Attention;
use desam_nn::ops::pointwise::added_to_all;

impl TwoWayTransformer {
    /// `image [N, G·G, E]`, its positions `[1, G·G, E]`, `tokens [N, T, E]`, which are their own
    /// positions.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(
        &self,
        image: Tensor,
        image_pe: &Tensor,
        tokens: &Tensor,
    ) -> Result<TwoWayOutput> {
        let mut engine = ModuleEngine { image, image_pe, positioned: None };
        let tokens = self.run(&mut engine, tokens)?;
        Ok(TwoWayOutput { tokens, image: engine.image })
    }
}

struct ModuleEngine<'a> {
    image: Tensor,
    image_pe: &'a Tensor,
    /// `image + image_pe`: keys of one attention and queries of the next, so computed once.
    positioned: Option<Tensor>,
}

impl ModuleEngine<'_> {
    fn positioned(&mut self) -> Result<Tensor> {
        let sum = match self.positioned.take() {
            Some(sum) => sum,
            None => added_to_all(&self.image, self.image_pe)?,
        };
        Ok(self.positioned.insert(sum).clone())
    }
}

impl Engine for ModuleEngine<'_> {
    fn attend_to_image(&mut self, attention: &Attention, queries: &Tensor) -> Result<Tensor> {
        attention.forward(queries, &self.positioned()?, &self.image)
    }

    fn update_image(&mut self, block: &TwoWayBlock, tokens: TokenInputs<'_>) -> Result<()> {
        let inputs = [&self.positioned()?, tokens.positioned, tokens.plain];
        self.image = block.image_to_token.forward_normed(inputs, &self.image, &block.norm4)?;
        // Of the old image. Dropped before the next sum is made: each is as large as the image.
        self.positioned = None;
        Ok(())
    }

    fn finish(&mut self, last: FinalLayer<'_>, tokens: TokenInputs<'_>) -> Result<Tensor> {
        let inputs = [tokens.positioned, &self.positioned()?, &self.image];
        last.attention.forward_normed(inputs, tokens.plain, last.norm)
    }
}
