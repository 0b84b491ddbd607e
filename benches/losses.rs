//! Losses on a batch of 8 masks of 256², with their gradients.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::metrics::loss::LossConfig;
use desam::types::{Loss, LossTarget, MaskPrediction};
use desam_benches::{discs, id, run, variable, wave};
use std::hint::black_box;

fn main() {
    run(|c| {
        let logits = variable(&[8, 1, 256, 256], 1.0);
        let iou = variable(&[8, 1], 2.0);
        let presets = [
            ("paper, Eq. 1", LossConfig::paper_points()),
            ("paper, Eq. 2", LossConfig::paper_box()),
            ("official, points", LossConfig::official_points()),
        ];
        for (name, config) in presets {
            let target =
                LossTarget { mask: discs(8, 256), iou: config.iou.map(|_| wave(&[8, 1], 3.0)) };
            let loss = config.build().unwrap();
            let frozen = MaskPrediction::new(logits.as_tensor().detach(), iou.as_tensor().detach());
            c.bench_function(&id(format!("loss/{name}/forward")), |b| {
                b.iter(|| black_box(loss.forward(&frozen, &target).unwrap()));
            });
            let learning = MaskPrediction::new(logits.as_tensor().clone(), iou.as_tensor().clone());
            c.bench_function(&id(format!("loss/{name}/forward+backward")), |b| {
                b.iter(|| {
                    let value = loss.forward(&learning, &target).unwrap();
                    black_box(value.total.backward().unwrap())
                });
            });
        }
    });
}
