//! Losses and segmentation metrics of DeSAM.
