//! What `pretrain_tiny` is made of: scenes, prompts, the model, its loss, the loop.

pub(crate) mod batch;
pub(crate) mod field;
pub(crate) mod held_out;
pub(crate) mod loss;
pub(crate) mod model;
pub(crate) mod recipe;
pub(crate) mod rng;
pub(crate) mod scene;
pub(crate) mod shape;
pub(crate) mod train;
