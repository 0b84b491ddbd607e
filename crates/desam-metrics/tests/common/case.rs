//! A pair of masks that a test owns.

use desam_metrics::metric::{CaseMeasures, CaseMetric, EmptyPolicy, MaskPair, Score, VoxelGrid};

/// Two masks and where their voxels are.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) prediction: Vec<u8>,
    pub(crate) truth: Vec<u8>,
    pub(crate) grid: VoxelGrid,
}

impl Case {
    pub(crate) fn scores(&self, metrics: &[CaseMetric]) -> Vec<Score> {
        let pair = MaskPair::new(&self.prediction, &self.truth, self.grid).unwrap();
        CaseMeasures::new(pair, EmptyPolicy::default()).unwrap().scores(metrics)
    }

    pub(crate) fn value(&self, metric: CaseMetric) -> f64 {
        self.scores(&[metric])[0].counted().unwrap()
    }
}
