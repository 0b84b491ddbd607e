//! Atomic write of a file: temporary file, flush, rename.

use crate::{Error, Result};
use desam_core::Destination;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes `path` atomically: what `write` produces goes to a hidden temporary file in the same folder,
/// which is flushed to the disk and then renamed. A reader of `path` sees the old content or the new,
/// never a part, even when the program is killed or the power fails. A process that was killed may
/// leave a `.desam-*.tmp` file behind, which nothing here reads; the next process that writes into the
/// folder removes it ([`desam_core::temporary`]).
///
/// Symbolic links are followed, so that the file they lead to is replaced and the links stay.
/// Devices, FIFOs and open descriptors (`/dev/stdout`, a shell's `>(command)`) are written to
/// directly: see [`Destination`].
///
/// # Errors
/// [`Error::Io`] when the folder does not exist or cannot be written, when `write` fails, when a FIFO
/// has no reader any more, or when the disk is full. A regular file is then unchanged.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>,
) -> Result<()> {
    let fail = || Error::io("write", path);
    let target = match Destination::of(path).map_err(fail())? {
        Destination::Stream(file) => return stream(file, write).map_err(fail()),
        Destination::File(target) => target,
        _ => return Err(fail()(std::io::ErrorKind::Unsupported.into())),
    };
    let dir = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = desam_core::temporary::create_in(dir).map_err(fail())?;
    {
        let mut buffered = BufWriter::with_capacity(1 << 16, temporary.as_file_mut());
        write(&mut buffered).and_then(|()| buffered.flush()).map_err(fail())?;
    }
    temporary.as_file().sync_all().map_err(fail())?;
    temporary.persist(&target).map_err(|e| fail()(e.error))?;
    // The rename is an entry of the folder, so the folder is flushed too. Some file systems cannot do
    // that; the file is in place all the same, so an error is ignored.
    #[cfg(unix)]
    if let Ok(folder) = File::open(dir) {
        folder.sync_all().ok();
    }
    Ok(())
}

/// Writes to a device, FIFO or descriptor. Most of these cannot be flushed to a disk.
fn stream(
    mut file: File,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut buffered = BufWriter::with_capacity(1 << 16, &mut file);
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.sync_all().ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_whole_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, |w| w.write_all(b"one, and long")).unwrap();
        write_atomic(&path, |w| w.write_all(b"two")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, |w| w.write_all(b"old")).unwrap();
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half of the new")?;
            Err(std::io::Error::other("disk full"))
        });
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("a.txt") && message.contains("disk full"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none").join("a.txt");
        assert!(matches!(write_atomic(&path, |_| Ok(())), Err(Error::Io { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_as_the_umask_says() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
        write_atomic(&ours, |_| Ok(())).unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_their_target_is_replaced_in_its_own_folder() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("store")).unwrap();
        std::fs::write(at("store/a.txt"), b"old").unwrap();
        symlink("store/a.txt", at("link")).unwrap();
        symlink("store/new.txt", at("dangling")).unwrap();
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        let before = std::fs::metadata(at("store/a.txt")).unwrap().ino();
        for (link, file) in [("link", "store/a.txt"), ("dangling", "store/new.txt")] {
            write_atomic(&at(link), |w| w.write_all(b"new")).unwrap();
            assert!(at(link).symlink_metadata().unwrap().is_symlink(), "{link}");
            assert_eq!(std::fs::read(at(file)).unwrap(), b"new");
        }
        // Replaced, not written into: an open handle to the old file keeps reading it.
        assert_ne!(std::fs::metadata(at("store/a.txt")).unwrap().ino(), before);
        assert_eq!(names(&at("store")).len(), 2);
        let message = write_atomic(&at("a"), |_| Ok(())).unwrap_err().to_string();
        assert!(message.contains("links"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_fifos_are_written_into() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (null, fifo) = (dir.path().join("null"), dir.path().join("fifo"));
        symlink("/dev/null", &null).unwrap();
        for path in [Path::new("/dev/null"), &null] {
            write_atomic(path, |w| w.write_all(b"gone")).unwrap();
        }
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        if !std::process::Command::new("mkfifo").arg(&fifo).status().is_ok_and(|s| s.success()) {
            return;
        }
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::read(fifo)
        });
        write_atomic(&fifo, |w| w.write_all(b"through")).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), b"through");
        // A reader that goes away is an error, and the FIFO stays one.
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || drop(File::open(fifo))
        });
        let message = write_atomic(&fifo, |w| {
            let _ = reader.join();
            w.write_all(&vec![0; 1 << 20])
        });
        let message = message.unwrap_err().to_string();
        assert!(message.contains("fifo") && message.contains("pipe"), "{message}");
        assert!(std::fs::metadata(&fifo).unwrap().file_type().is_fifo());
    }
}
