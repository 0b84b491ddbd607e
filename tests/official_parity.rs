//! The library against what the official program computed; the limits and their sources are in
//! `desam_study::parity`.

use crate::support::reference;
use desam::Quiet;
use desam_study::parity::parity;

#[test]
fn training_and_grid_are_the_official_programs() {
    let Some(folder) = reference("official parity") else {
        return;
    };
    let report = parity(&folder, &Quiet).unwrap();
    assert!(report.passed(), "{}", report.table());
    for group in ["gradients,", "steps of Adam", "grid 9×9 first mask"] {
        assert!(report.stages.iter().any(|s| s.name.starts_with(group)), "{group}");
    }
    // Most of the reference's gradients are no noise, so that there was something to compare.
    let compared = report.gradients.iter().filter(|g| !g.noise).count();
    assert!(2 * compared > report.gradients.len(), "{compared}");
}
