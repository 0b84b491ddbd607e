//! Series whose slices make no one volume, and what can be done about it.

use super::*;
use crate::volumes::{Loaded, ReadOptions, load_volume};

/// Files by name in a separate folder.
fn folder_of(scratch: &Scratch, files: &[(&str, Draft)]) -> PathBuf {
    let dir = scratch.path("in");
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir(&dir).unwrap();
    for (name, draft) in files {
        std::fs::write(dir.join(name), draft.bytes()).unwrap();
    }
    dir
}

fn load(dir: &Path, choice: SeriesChoice) -> Result<Loaded<Volume>> {
    load_volume(dir, &ReadOptions::default().with_series(choice))
}

fn refused(dir: &Path) -> String {
    load(dir, SeriesChoice::Only).unwrap_err().to_string()
}

/// Four axial slices, `s0.dcm` to `s3.dcm`.
fn stack() -> Vec<(&'static str, Draft)> {
    let names = ["s0.dcm", "s1.dcm", "s2.dcm", "s3.dcm"];
    names.into_iter().zip([0.0, 3.0, 6.0, 9.0].map(draft)).collect()
}

#[test]
fn a_localizer_in_the_series_is_named_and_can_be_left_out() {
    let scratch = Scratch::new();
    let coronal = Draft { orientation: [1.0, 0.0, 0.0, 0.0, 0.0, -1.0], ..draft(20.0) };
    let sagittal = Draft { orientation: [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], ..draft(21.0) };
    for extra in
        [vec![("loc.dcm", coronal.clone())], vec![("loc.dcm", coronal), ("zl.dcm", sagittal)]]
    {
        let files = [stack(), extra.clone()].concat();
        let dir = folder_of(&scratch, &files);
        for choice in [SeriesChoice::Only, SeriesChoice::Uid("1.2.3".into())] {
            let error = load(&dir, choice).unwrap_err().to_string();
            assert!(error.contains("different orientations"), "{error}");
            assert!(
                error.contains("loc.dcm") && error.contains("plane (axial, coronal"),
                "{error}"
            );
        }
        // Both ways that the message names lead to the volume.
        let axial = load(&dir, SeriesChoice::Plane(Plane::Axial)).unwrap();
        assert_eq!(axial.value.grid().dims, [3, 2, 4]);
        let [warning] = axial.warnings.as_slice() else { panic!("{axial:?}") };
        assert!(warning.contains("loc.dcm"), "{warning}");
        assert_eq!(
            load(&dir, SeriesChoice::Plane(Plane::Coronal)).unwrap().value.grid().dims[2],
            1
        );
        for (name, _) in extra {
            std::fs::remove_file(dir.join(name)).unwrap();
        }
        assert_eq!(load(&dir, SeriesChoice::Only).unwrap().value, axial.value);
    }
}

#[test]
fn a_series_wholly_of_a_plane_goes_before_a_part_of_one() {
    let scratch = Scratch::new();
    let of = |draft: Draft| Draft { series: "1.2.9".into(), ..draft };
    let coronal = Draft { orientation: [1.0, 0.0, 0.0, 0.0, 0.0, -1.0], ..draft(20.0) };
    let files =
        [stack(), vec![("la.dcm", of(draft(50.0))), ("lc.dcm", of(coronal.clone()))]].concat();
    let dir = folder_of(&scratch, &files);
    let axial = load(&dir, SeriesChoice::Plane(Plane::Axial)).unwrap();
    assert_eq!((axial.value.grid().dims[2], axial.warnings.len()), (4, 0));
    // Two parts are as near as each other.
    std::fs::write(dir.join("sc.dcm"), coronal.bytes()).unwrap();
    let error = load(&dir, SeriesChoice::Plane(Plane::Axial)).unwrap_err().to_string();
    assert!(error.contains("2 series fit"), "{error}");
}

#[test]
fn slices_of_another_make_are_named() {
    let scratch = Scratch::new();
    let small = Draft { rows: 1, columns: 2, ..draft(12.0) };
    let error = refused(&folder_of(&scratch, &[stack(), vec![("z.dcm", small)]].concat()));
    assert!(error.contains("not of one size") && error.contains("move z.dcm"), "{error}");
    // Two stacks of one length: neither is odd.
    let tilted = |z| Draft { orientation: [1.0, 0.0, 0.0, 0.0, 0.8, 0.6], ..draft(z) };
    let two = [("a.dcm", draft(0.0)), ("b.dcm", draft(3.0)), ("c.dcm", tilted(50.0))];
    let error = refused(&folder_of(&scratch, &[&two[..], &[("d.dcm", tilted(53.0))]].concat()));
    assert!(error.contains("a separate folder") && error.contains("c.dcm and d.dcm"), "{error}");
    assert!(!error.contains("plane"), "both are axial: {error}");
}

#[test]
fn the_same_file_twice_is_one_slice() {
    let scratch = Scratch::new();
    let copy = |name| [stack(), vec![(name, draft(6.0))]].concat();
    let plain = load(&folder_of(&scratch, &stack()), SeriesChoice::Only).unwrap();
    for name in ["s2 (1).dcm", "s2 copy.dcm", "zz"] {
        let dir = folder_of(&scratch, &copy(name));
        let loaded = load(&dir, SeriesChoice::Only).unwrap();
        assert_eq!(loaded.value, plain.value, "{name}");
        let [warning] = loaded.warnings.as_slice() else { panic!("{loaded:?}") };
        assert!(warning.contains(name) && warning.contains("s2.dcm"), "{warning}");
        assert_eq!(files(&dir).unwrap().len(), 4);
    }
    // The whole series twice, written in another transfer syntax.
    let names = ["t0.dcm", "t1.dcm", "t2.dcm", "t3.dcm"];
    let again = stack().into_iter().zip(names).map(|((_, draft), name)| {
        (name, Draft { syntax: uids::IMPLICIT_VR_LITTLE_ENDIAN, ..draft })
    });
    let dir = folder_of(&scratch, &[stack(), again.collect()].concat());
    let loaded = load(&dir, SeriesChoice::Only).unwrap();
    assert_eq!(loaded.value, plain.value);
    assert!(loaded.warnings[0].contains("4 slices") && loaded.warnings.len() == 1, "{loaded:?}");
}

#[test]
fn two_objects_of_one_uid_are_named_with_it() {
    let scratch = Scratch::new();
    let mut other = draft(6.0);
    other.pixels[3] += 1;
    let uid = other.instance();
    let error = refused(&folder_of(&scratch, &[stack(), vec![("x.dcm", other)]].concat()));
    for word in ["x.dcm", "s2.dcm", "both have the SOPInstanceUID", uid.as_str()] {
        assert!(error.contains(word), "{word}: {error}");
    }
    // Other UIDs at one place: echoes, or moments.
    let echo = Draft { without: &[tags::SOP_INSTANCE_UID], ..draft(6.0) };
    let error = refused(&folder_of(&scratch, &[stack(), vec![("x.dcm", echo)]].concat()));
    assert!(error.contains("same place") && error.contains("x.dcm"), "{error}");
    assert!(error.contains("s2.dcm") && error.contains("(-10, -20, 6)"), "{error}");
}

#[test]
fn unequal_distances_are_named_on_both_sides() {
    let scratch = Scratch::new();
    let at = |heights: &[(&'static str, f64)]| {
        let files: Vec<_> = heights.iter().map(|(name, z)| (*name, draft(*z))).collect();
        refused(&folder_of(&scratch, &files))
    };
    let gap = at(&[("a.dcm", 0.0), ("b.dcm", 3.0), ("c.dcm", 9.0), ("d.dcm", 12.0)]);
    for word in ["b.dcm at (-10, -20, 3)", "c.dcm at (-10, -20, 9)", "6.00 mm", "3.00 mm", "add it"]
    {
        assert!(gap.contains(word), "{word}: {gap}");
    }
    let near =
        at(&[("a.dcm", 0.0), ("b.dcm", 3.0), ("c.dcm", 4.0), ("d.dcm", 7.0), ("e.dcm", 10.0)]);
    for word in ["b.dcm at", "c.dcm at", "1.00 mm", "3.00 mm", "out of place"] {
        assert!(near.contains(word), "{word}: {near}");
    }
}
