//! Prompt sampling for training, grid points and the whole box for prediction.
