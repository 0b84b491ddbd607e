//! The trained half of DeSAM: the two-way transformer, PRIM and PIMM.
