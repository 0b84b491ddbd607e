//! Guarantees of phantoms: the same bytes for the same seed, plausible glands, sites that differ.

use super::*;
use desam_core::Quiet;
use desam_volume::nifti;
use std::sync::LazyLock;

fn few(cases_per_site: usize, seed: u64) -> PhantomConfig {
    PhantomConfig { cases_per_site, seed, ..PhantomConfig::default() }
}

fn gland_ml(labels: &LabelVolume) -> f64 {
    let voxels = labels.data().iter().filter(|&&v| v > 0).count();
    voxels as f64 * labels.grid().voxel_mm3() / 1000.0
}

/// A few cases of every site, drawn once for all tests.
static DRAWN: LazyLock<Vec<(SiteStyle, Vec<PhantomCase>)>> = LazyLock::new(|| {
    let draw = |style: SiteStyle| {
        let cases = (0..4).map(|seed| phantom_case(&style, seed).unwrap()).collect();
        (style, cases)
    };
    SiteStyle::six_sites().into_iter().map(draw).collect()
});

fn for_each_drawn(check: impl Fn(&str, &SiteStyle, &PhantomCase)) {
    for (style, cases) in DRAWN.iter() {
        for (seed, case) in cases.iter().enumerate() {
            check(&format!("{} seed {seed}", style.name), style, case);
        }
    }
}

#[test]
fn glands_are_plausible_at_every_site() {
    for_each_drawn(|name, style, case| {
        let ml = gland_ml(&case.labels);
        // 20 to 80 ml is the adult range from small to clearly enlarged.
        assert!((20.0..=80.0).contains(&ml), "{name}: {ml:.1} ml");
        let has_gland = |k: usize| case.labels.slice(k).is_some_and(|s| s.iter().any(|&v| v > 0));
        let gland_slices = (0..style.slices).filter(|&k| has_gland(k)).count();
        assert!(!has_gland(0) && !has_gland(style.slices - 1), "{name}");
        assert!(gland_slices >= 7, "{name}: {gland_slices} slices");
    });
}

#[test]
fn the_gland_never_touches_the_border() {
    for_each_drawn(|name, _, case| {
        let [columns, rows, _] = case.labels.grid().dims;
        let touches = case.labels.data().iter().enumerate().any(|(n, &v)| {
            let (i, j) = (n % columns, n / columns % rows);
            v > 0 && (i == 0 || j == 0 || i + 1 == columns || j + 1 == rows)
        });
        assert!(!touches, "{name}");
    });
}

#[test]
fn label_values_are_the_sites() {
    for_each_drawn(|name, style, case| {
        let mut values = case.labels.data().to_vec();
        values.sort_unstable();
        values.dedup();
        let expected: &[u8] = if style.name == "B" { &[0, 1, 2] } else { &[0, 1] };
        assert_eq!(values, expected, "{name}");
    });
}

#[test]
fn intensities_fit_a_signed_short() {
    for_each_drawn(|name, style, case| {
        let whole = |v: &f32| v.fract() == 0.0 && (0.0..=32767.0).contains(v);
        assert!(case.image.data().iter().all(whole), "{name}");
        let brightest = case.image.data().iter().copied().fold(0.0f32, f32::max);
        assert!(f64::from(brightest) > 0.5 * style.scale, "{name} {brightest}");
    });
}

#[test]
fn threads_do_not_change_a_phantom() {
    let style = &SiteStyle::six_sites()[2];
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| phantom_case(style, 11).unwrap())
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let dirs = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
    let write = |dir: usize, cases, seed| {
        let mut config = few(cases, seed);
        config.sites.truncate(2);
        write_phantoms(dirs[dir].path(), &config, &Quiet).unwrap()
    };
    let cases = write(0, 1, 5);
    write(1, 2, 5);
    write(2, 1, 6);
    for case in cases {
        for file in [&case.image, case.label.as_ref().unwrap()] {
            let name = file.strip_prefix(dirs[0].path()).unwrap();
            let bytes = [0, 1, 2].map(|d| std::fs::read(dirs[d].path().join(name)).unwrap());
            assert!(bytes[0] == bytes[1], "{}", name.display());
            assert!(bytes[0] != bytes[2], "{}", name.display());
        }
    }
}

#[test]
fn what_is_written_is_what_was_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let config = few(1, 9);
    let cases = write_phantoms(dir.path(), &config, &Quiet).unwrap();
    assert_eq!(cases, crate::layout::discover(dir.path()).unwrap());
    assert_eq!(cases.len(), 6);
    for (case, style) in cases.iter().zip(&config.sites) {
        assert_eq!((case.site.as_str(), case.id.as_str()), (style.name.as_str(), "Case00"));
        let drawn = phantom_case(style, case_seed(9, &style.name, 0)).unwrap();
        let image = nifti::read_volume(&case.image).unwrap();
        let labels = nifti::read_labels(case.label.as_ref().unwrap()).unwrap();
        assert_eq!(image.data(), drawn.image.data());
        assert_eq!(labels.data(), drawn.labels.data());
        // The header holds single precision: relative 6e-8 of at most 200 mm.
        assert!(image.grid().matches(drawn.image.grid(), 1e-4), "{}", style.name);
        for (found, expected) in image.grid().spacing().iter().zip(style.spacing) {
            assert!((found - expected).abs() < 1e-5, "{}: {found} {expected}", style.name);
        }
    }
}

#[test]
fn bad_styles_and_configurations_are_refused() {
    let with = |change: fn(&mut SiteStyle)| {
        let mut style = SiteStyle::six_sites().remove(0);
        change(&mut style);
        style.validate()
    };
    assert!(with(|_| ()).is_ok());
    assert!(with(|s| s.name = "../up".into()).is_err());
    assert!(with(|s| s.matrix = [0, 128]).is_err());
    assert!(with(|s| s.slices = 3).is_err());
    assert!(with(|s| s.spacing[2] = f64::NAN).is_err());
    assert!(with(|s| s.gland_ml = [50.0, 40.0]).is_err());
    assert!(with(|s| s.noise = -1.0).is_err());
    assert!(with(|s| s.scale = f64::INFINITY).is_err());
    assert!(few(0, 1).validate().is_err());
    let mut twins = few(1, 1);
    twins.sites[1].name = "a".into();
    assert!(twins.validate().is_err());
    twins.sites.clear();
    assert!(twins.validate().is_err());
}
