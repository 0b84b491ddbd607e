//! Tensor ops and layers for DeSAM on candle.
