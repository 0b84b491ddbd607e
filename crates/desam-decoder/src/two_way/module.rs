//! The two-way transformer layer by layer, with gradients: the reference for the other engines, and
//! what training runs.

use super::block::TwoWayBlock;
use super::{Engine, FinalLayer, TokenInputs, TwoWayOutput, TwoWayTransformer};
use candle_core::{Result, Tensor};
use desam_nn::layers::{Attention, AttentionInputs, Epilogue};
use desam_nn::ops::pointwise::broadcast_add;

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
            None => broadcast_add(&self.image, self.image_pe)?,
        };
        Ok(self.positioned.insert(sum).clone())
    }
}

impl Engine for ModuleEngine<'_> {
    fn attend_to_image(&mut self, attention: &Attention, queries: &Tensor) -> Result<Tensor> {
        let keys = self.positioned()?;
        attention.forward(AttentionInputs { q: queries, k: &keys, v: &self.image })
    }

    fn update_image(&mut self, block: &TwoWayBlock, tokens: TokenInputs<'_>) -> Result<()> {
        let queries = self.positioned()?;
        let inputs = AttentionInputs { q: &queries, k: tokens.positioned, v: tokens.plain };
        let epilogue = Epilogue::add_norm(&self.image, block.norm4.parameters());
        self.image = block.image_to_token.forward_with(inputs, epilogue)?;
        // Of the old image. Dropped before the next sum is made: each is as large as the image.
        self.positioned = None;
        Ok(())
    }

    fn finish(&mut self, last: FinalLayer<'_>, tokens: TokenInputs<'_>) -> Result<Tensor> {
        let keys = self.positioned()?;
        let inputs = AttentionInputs { q: tokens.positioned, k: &keys, v: &self.image };
        let epilogue = Epilogue::add_norm(tokens.plain, last.norm.parameters());
        last.attention.forward_with(inputs, epilogue)
    }
}
