//! Which slices of a case are trained on.

desam_core::named! {
    /// Slices that a decoder is trained on.
    #[derive(Default)]
    pub enum TrainSlices: "slices" {
        /// Slices with ground truth, as in the paper and the official program. A model never learns
        /// that a slice can be empty, and draws a mask on every slice of a volume.
        #[default]
        Labelled = "labelled",
        /// All slices. The IoU head learns that an empty slice has nothing to find, and a threshold on
        /// its output, chosen on the held-out cases, decides where a mask is drawn.
        All = "all",
    }
}

impl TrainSlices {
    /// Whether only slices with ground truth are trained on.
    pub fn is_labelled(&self) -> bool {
        *self == Self::Labelled
    }
}
