use super::*;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn abandoned_files_are_removed_and_all_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let alive = create_in(dir.path()).unwrap();
    let killed = format!("{PREFIX}{}-AbCdEf{SUFFIX}", machine());
    let stay = [".desam-notes.txt", "desam-AbCdEf.tmp", ".desam.lock", "mask.nii.gz", ".tmp"];
    for name in stay.iter().copied().chain([killed.as_str(), ".desam-AbCdEf.tmp", ".desam-a-b.tmp"])
    {
        std::fs::write(at(name), b"half").unwrap();
    }
    std::fs::create_dir(at(".desam-folder.tmp")).unwrap();
    assert_eq!(remove_leftovers(dir.path()).unwrap(), 3);
    assert_eq!(remove_leftovers(dir.path()).unwrap(), 0);
    assert!(alive.path().is_file() && !at(&killed).exists() && !at(".desam-AbCdEf.tmp").exists());
    assert!(stay.iter().all(|name| at(name).is_file()) && at(".desam-folder.tmp").is_dir());
    let path = alive.path().to_owned();
    drop(alive);
    assert!(!path.exists());
    assert!(remove_leftovers(&at("none")).is_err());
}

#[test]
fn another_machines_file_is_removed_after_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".desam-000000000000-AbCdEf.tmp");
    let file = File::create(&path).unwrap();
    assert_eq!(remove_leftovers(dir.path()).unwrap(), 0);
    let hour = Duration::from_secs(60 * 60);
    file.set_modified(SystemTime::now() - 23 * hour).unwrap();
    assert_eq!(remove_leftovers(dir.path()).unwrap(), 0);
    file.set_modified(SystemTime::now() - 25 * hour).unwrap();
    assert_eq!(remove_leftovers(dir.path()).unwrap(), 1);
    assert!(!path.exists());
}

#[test]
fn the_first_write_into_a_folder_removes_leftovers() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join(".desam-AbCdEf.tmp");
    std::fs::write(&left, b"half").unwrap();
    let file = create_in(dir.path()).unwrap();
    assert!(!left.exists());
    file.persist(dir.path().join("mask.nii.gz")).unwrap();
    assert_eq!(names(dir.path()), ["mask.nii.gz"]);
}

#[test]
fn a_renamed_file_is_not_a_leftover() {
    let dir = tempfile::tempdir().unwrap();
    let (file, path) = create_in(dir.path()).unwrap().keep().unwrap();
    let cleaner = OpenOptions::new().write(true).open(&path).unwrap();
    assert!(is_at(&cleaner, &path));
    std::fs::rename(&path, dir.path().join("whole")).unwrap();
    drop(file);
    assert!(!remove_abandoned(&path, Writer::Here));
    assert_eq!(names(dir.path()), ["whole"]);
}

/// Writers and clean-ups at the same time: no writer may lose a file, whatever the interleaving.
#[test]
fn clean_ups_never_take_a_file_from_its_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (done, cleaned) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    cleaned.fetch_add(remove_leftovers(dir.path()).unwrap(), Ordering::SeqCst);
                }
            });
        }
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let dir = dir.path();
                scope.spawn(move || {
                    for turn in 0..300 {
                        let text = format!("{writer} {turn}");
                        let mut file = create_in(dir).unwrap();
                        file.write_all(text.as_bytes()).unwrap();
                        let path = dir.join(format!("{writer}-{turn}"));
                        file.persist(&path).unwrap();
                        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
                        // What a killed writer leaves, for the clean-ups to find.
                        std::fs::write(dir.join(format!(".desam-{writer}{turn}.tmp")), b"")
                            .unwrap();
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|w| w.join().unwrap());
        done.store(true, Ordering::SeqCst);
    });
    let left = remove_leftovers(dir.path()).unwrap();
    // And now and then a file that its writer had not locked yet, and created again.
    assert!(cleaned.load(Ordering::SeqCst) + left >= 900);
    assert_eq!(names(dir.path()).len(), 900);
}
