//! Output destinations: resolution of a path to the file to replace, or to a stream.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Limit on symbolic links in a chain, Linux's; beyond it a path counts as a loop.
const MAX_LINKS: usize = 40;

/// Destination of output to a path.
///
/// A regular file is replaced as a whole, by a rename. That is wrong for anything else: a rename
/// onto `/dev/null` or a FIFO replaces the node itself, one onto a symbolic link replaces the link,
/// and descriptors such as `/dev/stdout` live in a folder that no file can be made in.
///
/// ```
/// use desam_core::Destination;
/// # fn main() -> std::io::Result<()> {
/// # let dir = std::env::temp_dir();
/// let path = dir.join("desam-destination-that-is-not-there");
/// assert!(matches!(Destination::of(&path)?, Destination::File(p) if p == path));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Destination {
    /// A regular file, existing or not. Symbolic links are resolved: the path is that of the file
    /// itself.
    File(PathBuf),
    /// A device, a FIFO or an open descriptor of this process, opened for writing. It is written to
    /// directly.
    Stream(File),
}

impl Destination {
    /// Resolves `path`. A FIFO is opened here, which waits for a reader.
    ///
    /// # Errors
    /// For a folder, a socket, a loop of symbolic links, and for a special file that cannot be
    /// opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        if let Some(descriptor) = descriptor(path) {
            return descriptor.open(path).map(Self::Stream);
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder"))
            }
            Ok(found) if found.is_file() => resolve(path).map(Self::File),
            Ok(found) if is_socket(&found) => {
                Err(io::Error::new(ErrorKind::Unsupported, "it is a socket"))
            }
            Ok(_) => File::options().write(true).open(path).map(Self::Stream),
            Err(error) if error.kind() == ErrorKind::NotFound => resolve(path).map(Self::File),
            Err(error) => Err(error),
        }
    }

    /// The regular file that output to `path` creates or replaces, links resolved; `None` for devices,
    /// FIFOs and descriptors, which are not opened here, and for what [`of`](Self::of) refuses.
    pub fn file(path: &Path) -> Option<PathBuf> {
        let is_file = match fs::metadata(path) {
            Ok(found) => found.is_file(),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if descriptor(path).is_some() || !is_file { None } else { resolve(path).ok() }
    }

    /// Whether writing to `path` would replace a regular file that is there. False for devices,
    /// FIFOs and descriptors, whose content cannot be lost.
    pub fn replaces(path: &Path) -> bool {
        descriptor(path).is_none() && fs::metadata(path).is_ok_and(|found| found.is_file())
    }
}

/// Resolves a chain of symbolic links; the target need not exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match next_link(&path)? {
            Some(target) => path = target,
            None => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links, or links in a loop"))
}

/// Target of a symbolic link; `None` where `path` is not one.
fn next_link(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let folder = path.parent().unwrap_or(Path::new(""));
            Ok(Some(folder.join(fs::read_link(path)?)))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_socket(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

#[cfg(not(unix))]
fn is_socket(_: &fs::Metadata) -> bool {
    false
}

/// An open file descriptor of this process, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Descriptor(u32);

impl Descriptor {
    /// A handle that shares its position with the descriptor where that is standard output or
    /// error, so that what is written there by other means follows instead of being overwritten.
    #[cfg(unix)]
    fn open(self, path: &Path) -> io::Result<File> {
        use std::os::fd::AsFd;
        match self.0 {
            1 => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            2 => Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
            // Opening a descriptor's path would open the file again, at offset 0.
            _ if fs::metadata(path)?.is_file() => File::options().append(true).open(path),
            _ => File::options().write(true).open(path),
        }
    }

    #[cfg(not(unix))]
    fn open(self, path: &Path) -> io::Result<File> {
        File::options().write(true).open(path)
    }
}

/// The descriptor that `path` names: `/dev/stdout`, `/dev/fd/N` (which a shell's process
/// substitution `>(command)` gives), `/proc/self/fd/N`, or a symbolic link to one of them.
fn descriptor(path: &Path) -> Option<Descriptor> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let folder = path.parent()?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if is_descriptor_folder(&fs::canonicalize(folder).ok()?) {
            let number = path.file_name()?.to_str()?.parse().ok()?;
            return Some(Descriptor(number));
        }
        path = next_link(&path).ok().flatten()?;
    }
    None
}

/// Whether `folder` is `/proc/PID/fd` or `/proc/PID/task/TID/fd` of this process.
fn is_descriptor_folder(folder: &Path) -> bool {
    let Ok(rest) = folder.strip_prefix("/proc") else {
        return false;
    };
    let parts: Vec<&str> = rest.iter().filter_map(|part| part.to_str()).collect();
    let own = std::process::id().to_string();
    match parts.as_slice() {
        [pid, "fd"] | [pid, "task", _, "fd"] => *pid == own,
        _ => false,
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("desam-core-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir.canonicalize().unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn file(path: &Path) -> PathBuf {
        match Destination::of(path).unwrap() {
            Destination::File(path) => path,
            Destination::Stream(file) => panic!("{file:?}"),
        }
    }

    #[test]
    fn links_lead_to_their_target() {
        let dir = Scratch::new("links");
        let at = |name: &str| dir.0.join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/there"), "old").unwrap();
        symlink("folder/there", at("link")).unwrap();
        symlink("link", at("link-to-link")).unwrap();
        symlink("folder/new", at("dangling")).unwrap();
        symlink("loop-b", at("loop-a")).unwrap();
        symlink("loop-a", at("loop-b")).unwrap();
        assert_eq!(file(&at("link")), at("folder/there"));
        assert_eq!(file(&at("link-to-link")), at("folder/there"));
        assert_eq!(file(&at("dangling")), at("folder/new"));
        assert_eq!(file(&at("plain")), at("plain"));
        assert!(Destination::of(&at("loop-a")).is_err());
        assert!(Destination::of(&at("folder")).is_err());
        assert!(Destination::replaces(&at("link-to-link")));
        for name in ["dangling", "loop-a", "folder", "plain"] {
            assert!(!Destination::replaces(&at(name)), "{name}");
        }
    }

    #[test]
    fn special_files_are_streams() {
        let dir = Scratch::new("special");
        for path in ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2"] {
            let path = Path::new(path);
            assert!(matches!(Destination::of(path).unwrap(), Destination::Stream(_)), "{path:?}");
            assert!(!Destination::replaces(path), "{path:?}");
        }
        let (null, socket, fifo) = (dir.0.join("null"), dir.0.join("socket"), dir.0.join("fifo"));
        symlink("/dev/null", &null).unwrap();
        assert!(matches!(Destination::of(&null).unwrap(), Destination::Stream(_)));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(Destination::of(&socket).unwrap_err().to_string().contains("socket"));
        // Opening a FIFO waits for a reader; `would_replace` does not open it.
        if Command::new("mkfifo").arg(&fifo).status().is_ok_and(|s| s.success()) {
            assert!(!Destination::replaces(&fifo));
        }
    }

    #[test]
    fn other_processes_descriptors_are_plain_files() {
        let own = format!("/proc/{}/fd", std::process::id());
        assert!(is_descriptor_folder(Path::new(&own)));
        for other in ["/proc/1/fd", "/proc/self", "/dev", "/"] {
            assert!(!is_descriptor_folder(Path::new(other)), "{other}");
        }
    }
}
