//! The frozen half of DeSAM: SAM's image encoder with taps, its prompt encoder, checkpoints.
