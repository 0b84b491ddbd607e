//! Intervals and tests against SciPy 1.17.1 and against what is known of them.

#![allow(clippy::unwrap_used)] // helpers of tests, outside `#[test]`

use desam_metrics::Error;
use desam_metrics::statistics::{
    BootstrapConfig, Interval, IntervalMethod, MeanOver, SignFlip, holm, wilcoxon,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Differences in Dice as two runs might have them; no ties.
const EIGHT: [f64; 8] = [0.031, -0.012, 0.045, 0.008, 0.027, -0.003, 0.052, 0.019];
/// With ties and zeros.
const TIED: [f64; 12] = [0.5, 0.5, -0.25, 1.0, 0.0, 0.75, -0.5, 0.25, 1.5, 0.0, 0.75, 0.5];
/// A site of which one case was missed.
const SITE: [f64; 12] = [0.91, 0.88, 0.93, 0.42, 0.86, 0.90, 0.79, 0.95, 0.87, 0.0, 0.83, 0.89];
/// Another.
const OTHER: [f64; 5] = [0.7, 0.65, 0.8, 0.3, 0.72];

fn close(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() <= within, "found {found}, expected {expected} ± {within}");
}

#[test]
fn the_exact_wilcoxon_test_is_scipys() {
    // scipy.stats.wilcoxon(d, method="exact").
    let eight = wilcoxon(&EIGHT).unwrap();
    assert_eq!((eight.rank_sum_below, eight.rank_sum_above), (4.0, 32.0));
    close(eight.p_value, 0.054_687_5, 1e-15);
    let many = [
        -0.0141, -0.0297, 0.0025, 0.0226, 0.0441, 0.0133, -0.0066, -0.0135, 0.0325, 0.059, 0.0182,
        -0.027, -0.0187, 0.058, 0.0161, -0.042, 0.0075, -0.0249, -0.0089, -0.0046, -0.0114, 0.0266,
        0.0081, -0.0077, 0.0223,
    ];
    let many = wilcoxon(&many).unwrap();
    assert!(many.exact && many.rank_sum_below == 138.0, "{many:?}");
    close(many.p_value, 0.524_912_595_748_901_4, 1e-15);
}

#[test]
fn ties_are_exact_as_in_scipys_permutation_test() {
    // wilcoxon(d[d != 0], method=PermutationMethod()), all 1024 signs.
    let tied = wilcoxon(&TIED).unwrap();
    assert_eq!((tied.differences, tied.zeros, tied.exact), (10, 2, true));
    assert_eq!(tied.rank_sum_above.min(tied.rank_sum_below), 6.0);
    close(tied.p_value, 0.031_25, 1e-15);
}

#[test]
fn the_normal_approximation_is_scipys() {
    let many = [
        1.5, 2.25, -2.25, 0.25, 1.5, 1.75, 1.0, 2.0, 0.75, 1.0, 0.5, -0.75, -0.5, 0.75, -0.25,
        1.75, 1.75, 2.25, 0.25, 1.75, -0.5, -0.5, 0.5, 0.75, -1.25, -1.25, 0.75, -0.5, 1.5, 0.75,
        0.75, 0.5, 1.25, 0.25, 1.5, -0.25, 0.25, -0.25, 1.0, 0.5, -0.5, 2.5, 0.0, 0.25, 0.75, 2.25,
        0.25, 1.0, 0.5, -1.0, 1.25, 1.5, 0.25, 0.5, -1.0, -1.0, 0.0, 1.0, -0.0, 0.75,
    ];
    // scipy.stats.wilcoxon(d, method="asymptotic"); three zeros.
    let found = wilcoxon(&many).unwrap();
    assert_eq!((found.rank_sum_below, found.zeros, found.exact), (361.5, 3, false));
    close(found.p_value, 0.000_212_333_912_593_853_77, 1e-14);
}

#[test]
fn equal_runs_are_not_significantly_different() {
    let none = wilcoxon(&[0.0, -0.0, 0.0]).unwrap();
    assert_eq!((none.p_value, none.differences, none.zeros), (1.0, 0, 3));
    let flip = SignFlip::default().test(&[&[0.0, 0.0]], MeanOver::Cases).unwrap();
    assert_eq!((flip.p_value, flip.mean_difference), (1.0, 0.0));
    assert_eq!(wilcoxon(&[]).unwrap().p_value, 1.0);
    // Differences that cancel.
    assert_eq!(wilcoxon(&[1.0, -1.0]).unwrap().p_value, 1.0);
}

#[test]
fn the_sign_flip_test_is_scipys() {
    // scipy.stats.permutation_test((d,), mean, permutation_type="samples", n_resamples=inf).
    let test = |d: &[f64]| SignFlip::default().test(&[d], MeanOver::Cases).unwrap();
    let eight = test(&EIGHT);
    close(eight.mean_difference, 0.020_875, 1e-15);
    assert!(eight.exact);
    close(eight.p_value, 0.046_875, 1e-15);
    close(test(&TIED).p_value, 0.035_156_25, 1e-15);
    // By hand: one case says nothing.
    assert_eq!(test(&[0.3]).p_value, 1.0);
}

#[test]
fn random_signs_approximate_all_signs() {
    // 21 differences, of which the last hardly matters: as of the 20 others, whose p is exact.
    let mut d: Vec<f64> = EIGHT.iter().chain(&TIED).map(|v| v + 0.001).collect();
    let exact = SignFlip::default().test(&[&d], MeanOver::Cases).unwrap();
    d.push(1e-9);
    let config = SignFlip { draws: 200_000, seed: 3 };
    let drawn = config.test(&[&d], MeanOver::Cases).unwrap();
    assert!(exact.exact && !drawn.exact);
    // Four standard errors of a share of 200 000 draws.
    let error = 4.0 * (exact.p_value * (1.0 - exact.p_value) / 200_000.0).sqrt();
    close(drawn.p_value, exact.p_value, error + 1e-5);
    assert_eq!(config.test(&[&d], MeanOver::Cases).unwrap(), drawn);
}

#[test]
fn groups_or_cases_have_equal_weight() {
    // By hand: means 1 and 4 of groups of 3 and 1; of all four cases 7/4.
    let groups: [&[f64]; 2] = [&[0.0, 1.0, 2.0], &[4.0]];
    let mean = |over| SignFlip::default().test(&groups, over).unwrap().mean_difference;
    close(mean(MeanOver::Groups), 2.5, 1e-15);
    close(mean(MeanOver::Cases), 1.75, 1e-15);
}

fn interval(method: IntervalMethod, groups: &[&[f64]], over: MeanOver) -> Interval {
    let config = BootstrapConfig { resamples: 400_000, method, seed: 1, ..Default::default() };
    config.interval(groups, over).unwrap().unwrap()
}

#[test]
fn confidence_intervals_are_scipys() {
    // scipy.stats.bootstrap, 400 000 resamples; two seeds of SciPy's differ by up to 0.0017 in the
    // long lower tail and by 0.0009 above.
    let within = |found: Interval, low: f64, high: f64| {
        close(found.low, low, 0.002);
        close(found.high, high, 0.001);
    };
    within(interval(IntervalMethod::Percentile, &[&SITE], MeanOver::Cases), 0.5958, 0.8908);
    within(interval(IntervalMethod::Bca, &[&SITE], MeanOver::Cases), 0.5192, 0.8771);
    let two: [&[f64]; 2] = [&SITE, &OTHER];
    within(interval(IntervalMethod::Percentile, &two, MeanOver::Groups), 0.585, 0.7975);
    within(interval(IntervalMethod::Bca, &two, MeanOver::Groups), 0.5537, 0.784);
}

/// A standard normal number (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Share of intervals, of 600 samples of `n` normal numbers, that contain their mean.
fn coverage(n: usize, method: IntervalMethod) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let config = BootstrapConfig { resamples: 600, method, ..Default::default() };
    let held = (0..600).filter(|_| {
        let sample: Vec<f64> = (0..n).map(|_| 3.0 + normal(&mut rng)).collect();
        config.interval(&[&sample], MeanOver::Cases).unwrap().unwrap().holds(3.0)
    });
    held.count() as f64 / 600.0
}

#[test]
fn confidence_intervals_of_normal_samples_have_their_coverage() {
    // A percentile interval is mean ± 1.96 · s √((n−1)/n) / √n, which holds the mean as often as
    // Student's t of n − 1 is within 1.96 √((n−1)/n): 0.943 of 60, 0.913 of 12 (computed with
    // scipy.stats.t). Three standard errors of a share of 600.
    for method in [IntervalMethod::Percentile, IntervalMethod::Bca] {
        close(coverage(60, method), 0.943, 0.029);
        close(coverage(12, method), 0.913, 0.035);
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_in_any_order_and_another_others() {
    let config = BootstrapConfig::default();
    let mut reversed = SITE;
    reversed.reverse();
    let [first, second] =
        [SITE, reversed].map(|s| config.interval(&[&s], MeanOver::Cases).unwrap());
    assert!(first.is_some() && first == second);
    let other = BootstrapConfig { seed: 1, ..config };
    assert_ne!(other.interval(&[&SITE], MeanOver::Cases).unwrap(), first);
}

#[test]
fn levels_are_printed_without_rounding_noise() {
    for (level, said) in [(0.95, "95"), (0.57, "57"), (0.999, "99.9")] {
        let config = BootstrapConfig { level, ..BootstrapConfig::default() };
        assert_eq!(config.level_percent().to_string(), said);
    }
}

#[test]
fn constant_values_have_no_interval_or_a_degenerate_one() {
    let config = BootstrapConfig::default();
    let of = |groups: &[&[f64]]| config.interval(groups, MeanOver::Groups).unwrap();
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[&[0.5]]), None);
    assert_eq!(of(&[&[0.5, 0.6], &[0.5]]), None);
    assert_eq!(of(&[&[0.5, f64::INFINITY]]), None);
    assert_eq!(of(&[&[0.5; 4]]), Some(Interval { low: 0.5, high: 0.5, few_cases: Some(4) }));
    let two = of(&[&[0.0, 1.0]]).unwrap();
    assert_eq!((two.low, two.high), (0.0, 1.0));
}

#[test]
fn stratified_resampling_keeps_the_size_of_every_site() {
    // Two sites without spread within: however cases are drawn, both means are what they are.
    let groups: [&[f64]; 2] = [&[0.2; 6], &[0.8; 2]];
    let config = BootstrapConfig::default();
    let of = |over| config.interval(&groups, over).unwrap().unwrap();
    for (over, mean) in [(MeanOver::Groups, 0.5), (MeanOver::Cases, 0.35)] {
        close(of(over).low, mean, 1e-12);
        close(of(over).high, mean, 1e-12);
    }
}

#[test]
fn holm_corrects_for_multiple_comparisons() {
    // By hand: 0.01 · 4, then 0.03 · 3 = 0.09, 0.04 · 2 = 0.08 but no less than 0.09, 0.2.
    let found = holm(&[0.04, 0.01, 0.2, 0.03]);
    for (found, expected) in found.iter().zip([0.09, 0.04, 0.2, 0.09]) {
        close(*found, expected, 1e-15);
    }
    assert_eq!(holm(&[0.6, 0.9]), [1.0, 1.0]);
    assert!(holm(&[]).is_empty());
}

#[test]
fn invalid_settings_are_refused_by_name() {
    let config = BootstrapConfig::default();
    for (config, word) in [
        (BootstrapConfig { resamples: 99, ..config.clone() }, "99"),
        (BootstrapConfig { resamples: 1_000_001, ..config.clone() }, "resamples"),
        (BootstrapConfig { level: 1.0, ..config.clone() }, "level"),
        (BootstrapConfig { level: f64::NAN, ..config.clone() }, "level"),
    ] {
        let message = config.interval(&[&SITE], MeanOver::Cases).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    let none = [f64::NAN, 1.0];
    assert!(matches!(config.interval(&[&none], MeanOver::Cases), Err(Error::Statistics { .. })));
    let flip = SignFlip::default();
    assert!(wilcoxon(&none).is_err() && wilcoxon(&[f64::INFINITY]).is_err());
    assert!(flip.test(&[&none], MeanOver::Cases).is_err());
    assert!(flip.test(&[&[f64::INFINITY]], MeanOver::Cases).is_err());
    assert!(flip.test(&[], MeanOver::Cases).is_err());
    assert!(SignFlip { draws: 1, seed: 0 }.test(&[&EIGHT], MeanOver::Cases).is_err());
}

#[test]
fn intervals_of_few_cases_are_flagged() {
    let config = BootstrapConfig { resamples: 100, ..BootstrapConfig::default() };
    let values = [0.1, 0.4, 0.5, 0.7, 0.9, 0.95];
    let few = |groups: &[&[f64]]| {
        config.interval(groups, MeanOver::Groups).unwrap().and_then(|i| i.few_cases)
    };
    assert_eq!(few(&[&values[..4]]), Some(4));
    assert_eq!(few(&[&values[..5]]), None);
    // The smallest group counts: its cases are drawn from it alone.
    assert_eq!(few(&[&values, &values[..2]]), Some(2));
    // Files from before say nothing, and none is written where there is nothing to say.
    let old: Interval = serde_json::from_str(r#"{"low":0.25,"high":0.5}"#).unwrap();
    assert_eq!(old.few_cases, None);
    assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"low":0.25,"high":0.5}"#);
}
