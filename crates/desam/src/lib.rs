//! DeSAM: generalizable medical image segmentation without prompts. Train, evaluate, predict.

pub mod select;
