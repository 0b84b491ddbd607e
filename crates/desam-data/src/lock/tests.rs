use super::*;
use desam_core::Quiet;
use std::fs::TryLockError;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

fn refused<T: std::fmt::Debug>(tried: Result<T>) -> String {
    match tried {
        Err(e @ (Error::InUse { .. } | Error::InUseOtherwise { .. })) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_process_holds_a_folder_and_the_next_is_told_who() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/out");
    let held = folder(&out, &Quiet).unwrap();
    let message = refused(folder(&out, &Quiet));
    let pid = std::process::id().to_string();
    for word in [out.to_str().unwrap(), "process", &pid, "since 20", "UTC"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(refused(shared_folder(&out, &SharedSettings::new(), &Quiet)).contains(&pid));
    std::fs::write(out.join("result"), b"").unwrap();
    drop(held);
    assert_eq!(names(&out), ["result"]);
    drop(folder(&out, &Quiet).unwrap());
}

#[test]
fn a_folder_that_stays_empty_goes_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(folder(&dir.path().join("deep/out"), &Quiet).unwrap());
    assert!(names(dir.path()).is_empty());
    // One that was there stays.
    drop(folder(dir.path(), &Quiet).unwrap());
    assert!(dir.path().is_dir());
}

#[test]
fn what_a_killed_process_left_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".desam.lock");
    let left = r#"{"pid":1,"host":"h","command":"desam embed","agreement":{"dtype":"f32"}}"#;
    for text in [left, "", "{\"pid\":", "no JSON", "[]"] {
        std::fs::write(&path, text).unwrap();
        drop(folder(dir.path(), &Quiet).unwrap());
        std::fs::write(&path, text).unwrap();
        drop(
            shared_folder(dir.path(), &SharedSettings::new().with("dtype", "f16"), &Quiet).unwrap(),
        );
    }
}

#[test]
fn those_who_agree_share_and_others_are_told_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let ours = SharedSettings::new().with("feature type", "f16").with("cases", "6");
    let first = shared_folder(dir.path(), &ours, &Quiet).unwrap();
    let second = shared_folder(dir.path(), &ours, &Quiet).unwrap();
    let theirs = SharedSettings::new().with("feature type", "f32").with("slices", "all");
    let message = refused(shared_folder(dir.path(), &theirs, &Quiet));
    for word in [
        "feature type: existing f16, requested f32",
        "slices: existing nothing, requested all",
        "cases: existing 6, requested nothing",
    ] {
        assert!(message.contains(word), "{word}: {message}");
    }
    drop(first);
    refused(folder(dir.path(), &Quiet));
    refused(shared_folder(dir.path(), &theirs, &Quiet));
    let part_of = |index| part(dir.path(), index, 2, &Quiet);
    let (zero, one) = (part_of(0).unwrap(), part_of(1).unwrap());
    assert!(refused(part_of(1)).contains("part 1 of 2 of "));
    drop((zero, one, second));
    assert!(names(dir.path()).is_empty());
    drop(shared_folder(dir.path(), &theirs, &Quiet).unwrap());
}

#[test]
fn files_side_by_side_have_locks_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let one = file(&at("a.json"), &Quiet).unwrap();
    let two = file(&at("b.json"), &Quiet).unwrap();
    assert!(refused(file(&at("a.json"), &Quiet)).contains("a.json is in use"));
    drop((one, two));
    assert!(names(dir.path()).is_empty());
    // Not a file that could be replaced: nothing is written beside it.
    if Path::new("/dev/null").exists() {
        let null = file(Path::new("/dev/null"), &Quiet).unwrap();
        assert!(null.file.is_none() && !Path::new("/dev/.desam-null.lock").exists());
    }
}

#[test]
fn a_holder_is_described_as_far_as_it_is_known() {
    let mut holder = Holder::default();
    assert_eq!(holder.to_string(), "another process");
    holder.pid = Some(12);
    holder.host = Some("node1".into());
    holder.command = Some("desam train --out run".into());
    // date -u -d @951827696: the leap day of 2000.
    holder.since = Some(std::time::UNIX_EPOCH + Duration::from_secs(951_827_696));
    let expected = "process 12 on node1 (`desam train --out run`, since 2000-02-29 12:34:56 UTC)";
    assert_eq!(holder.to_string(), expected);
    for odd in [
        std::time::UNIX_EPOCH - Duration::from_secs(1),
        std::time::UNIX_EPOCH + Duration::from_secs(1 << 40),
    ] {
        holder.since = Some(odd);
        assert!(!holder.to_string().contains("since"));
    }
    holder.command = Some("é".repeat(500));
    assert!(holder.to_string().contains("é…`"));
}

/// The numbers are Linux's, from errno(3).
#[test]
#[cfg(target_os = "linux")]
fn a_file_system_without_locks_is_told_from_a_lock_that_is_held() {
    let error = |number| TryLockError::Error(std::io::Error::from_raw_os_error(number));
    for (name, number) in [("ENOLCK", 37), ("ENOSYS", 38), ("EOPNOTSUPP", 95)] {
        let outcome = system::outcome(Err(error(number))).unwrap();
        assert_eq!(outcome, Outcome::Unsupported, "{name}");
    }
    assert_eq!(system::outcome(Err(TryLockError::WouldBlock)).unwrap(), Outcome::Busy);
    assert_eq!(system::outcome(Ok(())).unwrap(), Outcome::Held);
    // EIO.
    assert!(system::outcome(Err(error(5))).is_err());
}

#[test]
fn that_there_are_no_locks_is_said_once() {
    #[derive(Default)]
    struct Ears(Mutex<Vec<String>>);
    impl Progress for Ears {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, _: u64, _: &str) {}
        fn finish(&self, _: &str) {}
        fn say(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }
    let ears = Ears::default();
    for _ in 0..3 {
        warn_unsupported(Path::new("/data/cache/.desam.lock"), &ears);
    }
    let said = ears.0.into_inner().unwrap();
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("/data/cache: ") && said[0].contains("no locks"), "{said:?}");
}

/// Threads take and give up one lock, and remove its file, as fast as they can: never are two in, nor
/// is one in beside those that share.
#[test]
fn no_two_are_in_whatever_the_interleaving() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_owned();
    let (alone, together, turns) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let agreement = SharedSettings::new().with("a", "1");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (out, alone, together, turns) = (&out, &alone, &together, &turns);
            let agreement = &agreement;
            scope.spawn(move || {
                let mut done = 0;
                while done < 25 {
                    let shares = (thread + done) % 3 > 0;
                    let lock = if shares {
                        shared_folder(out, agreement, &Quiet)
                    } else {
                        folder(out, &Quiet)
                    };
                    let lock = match lock {
                        Ok(lock) => lock,
                        Err(Error::InUse { .. }) => continue,
                        Err(other) => panic!("{other}"),
                    };
                    let (mine, theirs) = if shares { (together, alone) } else { (alone, together) };
                    let before = mine.fetch_add(1, Ordering::SeqCst);
                    assert!(shares || before == 0, "two are in");
                    assert_eq!(
                        theirs.load(Ordering::SeqCst),
                        0,
                        "one is in beside those who share"
                    );
                    std::thread::yield_now();
                    mine.fetch_sub(1, Ordering::SeqCst);
                    drop(lock);
                    done += 1;
                    turns.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(turns.load(Ordering::SeqCst), 100);
    assert!(names(dir.path()).is_empty());
}
