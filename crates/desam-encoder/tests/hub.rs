//! Downloads, against a server on loopback that answers as the hub does.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use desam_core::{Progress, Quiet};
use desam_encoder::Error;
use desam_encoder::hub::{HubModel, HubOptions, fetch};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Fault of the server.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The first so many bodies end half way, the connection closed.
    Cut(usize),
    /// It announces this many bytes more than it sends.
    Announces(usize),
    /// One byte of the body is another.
    Changed,
    /// A range request gets a body from offset 0.
    IgnoresRange,
    /// It answers for another commit.
    OtherCommit,
    /// An etag that would leave the cache.
    OddEtag,
    /// An etag that is no hash.
    NoHash,
    /// The hash of other bytes.
    OtherHash,
    /// No word of a commit.
    NoCommit,
    NotFound,
    /// It redirects to itself for ever.
    Loop,
    /// It redirects away from https, or to nowhere.
    OddRedirect,
    /// It accepts a connection and says nothing.
    Hangs,
    /// It sends the head of a body and then nothing.
    Stalls,
    /// It sends a byte now and then.
    Slow,
    /// It announces a file of 2^62 bytes.
    Huge,
    /// It fails the first so many times.
    Unavailable(usize),
}

struct Server {
    address: String,
    fault: Arc<Mutex<Fault>>,
    /// First requested byte of each body.
    starts: Arc<Mutex<Vec<usize>>>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn new(body: Vec<u8>, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            fault: Arc::new(Mutex::new(fault)),
            starts: Arc::default(),
            requests: Arc::default(),
        };
        let body = Arc::new(body);
        let shared = (server.fault.clone(), server.starts.clone(), server.requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (body, shared) = (body.clone(), shared.clone());
                std::thread::spawn(move || {
                    let _ = answer(&stream, &body, &shared.0, &shared.1, &shared.2);
                });
            }
        });
        server
    }

    fn becomes(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn starts(&self) -> Vec<usize> {
        self.starts.lock().unwrap().clone()
    }
}

fn sha256(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect()
}

/// As the hub: `resolve` redirects to storage and says commit and SHA-256; storage knows ranges.
fn answer(
    stream: &TcpStream,
    body: &[u8],
    fault: &Mutex<Fault>,
    starts: &Mutex<Vec<usize>>,
    requests: &AtomicUsize,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut range = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: bytes=") {
            let (from, to) = value.split_once('-').unwrap();
            range = Some((from.parse::<usize>().unwrap(), to.parse::<usize>().ok()));
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let mut out = stream;
    let now = *fault.lock().unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let host = stream.local_addr()?;
    let empty = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    match now {
        Fault::Loop => {
            let to = if path.contains("/resolve/") { "/loop" } else { path.as_str() };
            return write!(out, "HTTP/1.1 302 Found\r\nLocation: {to}\r\n{empty}");
        }
        Fault::OddRedirect => {
            return write!(out, "HTTP/1.1 302 Found\r\nLocation: ftp://{host}/x\r\n{empty}");
        }
        Fault::Hangs => {
            std::thread::sleep(Duration::from_secs(20));
            return Ok(());
        }
        Fault::Unavailable(left) if left > 0 => {
            *fault.lock().unwrap() = Fault::Unavailable(left - 1);
            return write!(out, "HTTP/1.1 503 Service Unavailable\r\n{empty}");
        }
        _ => {}
    }
    if now == Fault::NotFound {
        return write!(
            out,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    if path.contains("/resolve/") {
        let commit = if now == Fault::OtherCommit { "f".repeat(40) } else { COMMIT.to_owned() };
        let etag = match now {
            Fault::OddEtag => "../../../x".to_owned(),
            Fault::NoHash => "abc".to_owned(),
            Fault::OtherHash => "0".repeat(64),
            _ => sha256(body),
        };
        let commit = match now {
            Fault::NoCommit => String::new(),
            _ => format!("X-Repo-Commit: {commit}\r\n"),
        };
        let size = if now == Fault::Huge { 1 << 62 } else { body.len() };
        return write!(
            out,
            "HTTP/1.1 302 Found\r\nLocation: http://{host}/storage\r\n{commit}\
             ETag: \"other\"\r\nX-Linked-ETag: \"{etag}\"\r\nX-Linked-Size: {size}\r\n{empty}"
        );
    }
    let (mut from, to) = range.unwrap_or((0, None));
    let asks_for_body = to.is_none();
    if asks_for_body {
        starts.lock().unwrap().push(from);
    }
    if now == Fault::IgnoresRange && asks_for_body {
        from = 0;
    }
    let extra = if let Fault::Announces(extra) = now { extra } else { 0 };
    if from >= body.len() {
        return write!(
            out,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let end = to.map_or(body.len(), |to| (to + 1).min(body.len()));
    let mut part = body[from..end].to_vec();
    write!(
        out,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\
         Connection: close\r\n\r\n",
        part.len(),
        end - 1,
        body.len() + extra
    )?;
    match now {
        Fault::Stalls if asks_for_body => {
            out.write_all(&part[..1000])?;
            std::thread::sleep(Duration::from_secs(20));
            return Ok(());
        }
        Fault::Slow if asks_for_body => {
            for byte in part.iter().take(100) {
                out.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_millis(100));
            }
            return Ok(());
        }
        Fault::Changed => part[0] ^= 1,
        Fault::Cut(left) if asks_for_body && left > 0 => {
            *fault.lock().unwrap() = Fault::Cut(left - 1);
            part.truncate(part.len() / 2);
        }
        _ => {}
    }
    out.write_all(&part)
}

fn body() -> Vec<u8> {
    (0..300_000usize).map(|i| (i * 31 % 251) as u8).collect()
}

fn model() -> HubModel {
    HubModel::new("who/what", "model.safetensors", COMMIT)
}

fn options(server: &Server, cache: &Path) -> HubOptions {
    let mut options = cached(cache);
    options.endpoint = Some(server.address.clone());
    options.timeouts.connect = Duration::from_secs(1);
    options.timeouts.read = Duration::from_secs(1);
    options.timeouts.stall = Duration::from_secs(2);
    options.timeouts.retry = Duration::from_millis(1);
    options
}

/// A cache, and a hub that must not be contacted.
fn cached(cache: &Path) -> HubOptions {
    let mut options = HubOptions::default();
    options.cache_dir = Some(cache.to_owned());
    options
}

fn offline(mut options: HubOptions) -> HubOptions {
    options.offline = true;
    options
}

/// Path of the incomplete download of `body()`.
fn part(cache: &Path) -> std::path::PathBuf {
    cache.join(".desam-incoming").join(format!("{}.part", sha256(&body())))
}

fn snapshot(cache: &Path) -> std::path::PathBuf {
    cache.join("models--who--what/snapshots").join(COMMIT).join("model.safetensors")
}

/// Nothing a reader of the cache would take for the file.
fn assert_nothing_accepted(cache: &Path) {
    assert!(!snapshot(cache).exists());
    assert!(!cache.join("models--who--what/blobs").exists());
    let offline = offline(cached(cache));
    assert!(matches!(fetch(&model(), &offline, &Quiet), Err(Error::Offline { .. })));
}

/// Sums the reported progress.
#[derive(Default)]
struct Sum {
    announced: AtomicU64,
    done: AtomicU64,
    begun: AtomicUsize,
    finished: AtomicUsize,
}

impl Progress for Sum {
    fn begin(&self, _: &str, steps: u64) {
        self.announced.store(steps, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
    }
    fn advance(&self, steps: u64, _: &str) {
        self.done.fetch_add(steps, Ordering::SeqCst);
    }
    fn finish(&self, _: &str) {
        self.finished.fetch_add(1, Ordering::SeqCst);
    }
    fn say(&self, _: &str) {}
}

#[test]
fn a_file_is_fetched_once_and_then_needs_no_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    let options = options(&server, dir.path());
    let sum = Sum::default();
    let path = fetch(&model(), &options, &sum).unwrap();
    assert_eq!(path, snapshot(dir.path()));
    assert_eq!(std::fs::read(&path).unwrap(), body());
    let counts = [&sum.announced, &sum.done].map(|n| n.load(Ordering::SeqCst));
    assert_eq!(counts, [300_000; 2]);
    assert_eq!([&sum.begun, &sum.finished].map(|n| n.load(Ordering::SeqCst)), [1, 1]);
    let asked = server.requests.load(Ordering::SeqCst);
    assert_eq!(fetch(&model(), &options, &Quiet).unwrap(), path);
    let offline = offline(options);
    assert_eq!(fetch(&model(), &offline, &Quiet).unwrap(), path);
    assert_eq!(server.requests.load(Ordering::SeqCst), asked);
}

#[test]
fn a_branch_is_remembered_by_its_commit() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    let main = HubModel::new("who/what", "model.safetensors", "main");
    let path = fetch(&main, &options(&server, dir.path()), &Quiet).unwrap();
    assert_eq!(path, snapshot(dir.path()));
    let reference = dir.path().join("models--who--what/refs/main");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), COMMIT);
    let offline = offline(options(&server, dir.path()));
    assert_eq!(fetch(&main, &offline, &Quiet).unwrap(), path);
}

#[test]
fn offline_and_not_cached_reports_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    let offline = offline(options(&server, dir.path()));
    let error = fetch(&model(), &offline, &Quiet).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&*snapshot(dir.path()).to_string_lossy()), "{text}");
    assert!(text.contains("offline"), "{text}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_broken_connection_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::Cut(2));
    let sum = Sum::default();
    let path = fetch(&model(), &options(&server, dir.path()), &sum).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    let starts = server.starts();
    assert_eq!(starts, [0, 150_000, 225_000]);
    assert_eq!(sum.done.load(Ordering::SeqCst), 300_000);
    assert_eq!(sum.begun.load(Ordering::SeqCst), 1);
}

#[test]
fn a_connection_that_stays_broken_is_an_error_and_a_later_call_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::Cut(usize::MAX));
    let options = options(&server, dir.path());
    let error = fetch(&model(), &options, &Quiet).unwrap_err();
    assert!(matches!(error, Error::Hub { .. }), "{error}");
    assert_nothing_accepted(dir.path());
    server.becomes(Fault::None);
    let path = fetch(&model(), &options, &Quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    let starts = server.starts();
    let last = starts.last().copied().unwrap();
    assert!(last > 150_000, "{starts:?}");
}

#[test]
fn a_download_of_another_size_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::Announces(100));
    let error = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap_err();
    assert!(matches!(&error, Error::Download { what: "size in bytes", .. }), "{error}");
    assert!(error.to_string().contains("300100"), "{error}");
    assert_nothing_accepted(dir.path());
    assert!(!part(dir.path()).exists());
    server.becomes(Fault::None);
    let path = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
}

/// Half of a file came before; the server sends all of it again, or says that it is the other half.
#[test]
fn a_server_without_range_requests_restarts_the_download() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::IgnoresRange);
    std::fs::create_dir_all(part(dir.path()).parent().unwrap()).unwrap();
    std::fs::write(part(dir.path()), &body()[..150_000]).unwrap();
    let path = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    assert_eq!(server.starts(), [150_000]);
}

#[test]
fn a_download_with_another_hash_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::Changed);
    let error = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap_err();
    assert!(matches!(&error, Error::Download { what: "sha256", .. }), "{error}");
    assert!(error.to_string().contains("removed"), "{error}");
    assert_nothing_accepted(dir.path());
    assert!(!part(dir.path()).exists());
}

#[test]
fn a_file_without_a_hash_is_refused_unless_its_hash_is_given() {
    for fault in [Fault::NoHash, Fault::OddEtag] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(body(), fault);
        let options = options(&server, dir.path());
        let error = fetch(&model(), &options, &Quiet).unwrap_err().to_string();
        assert!(error.contains("no SHA-256") && error.contains("etag"), "{error}");
        assert_nothing_accepted(dir.path());
        let given = model().with_sha256(sha256(&body()));
        let path = fetch(&given, &options, &Quiet).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), body());
        // The blob is called by the hash, never by what the server says.
        let blob = std::fs::canonicalize(path).unwrap();
        assert_eq!(blob.file_name().unwrap().to_str().unwrap(), sha256(&body()));
    }
}

#[test]
fn a_pinned_hash_takes_precedence_over_the_servers() {
    for (fault, pin) in [(Fault::OtherHash, sha256(&body())), (Fault::NoHash, "1".repeat(64))] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(body(), fault);
        let pinned = model().with_sha256(pin);
        let error = fetch(&pinned, &options(&server, dir.path()), &Quiet).unwrap_err();
        assert!(matches!(&error, Error::Download { what: "sha256", .. }), "{error}");
        assert_nothing_accepted(dir.path());
    }
    // A mirror may leave out the commit: the hash says the same. Without one it is needed.
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::NoCommit);
    let options = options(&server, dir.path());
    assert!(fetch(&model(), &options, &Quiet).unwrap_err().to_string().contains("commit"));
    fetch(&model().with_sha256(sha256(&body())), &options, &Quiet).unwrap();
}

#[test]
fn a_damaged_file_in_the_cache_is_found_and_fetched_again() {
    for pinned in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(body(), Fault::None);
        let options = options(&server, dir.path());
        let model = if pinned { model().with_sha256(sha256(&body())) } else { model() };
        let path = fetch(&model, &options, &Quiet).unwrap();
        std::fs::write(&path, b"something else").unwrap();
        let error = fetch(&model, &offline(options.clone()), &Quiet).unwrap_err();
        assert!(matches!(&error, Error::Damaged { .. }), "{error}");
        let again = fetch(&model, &options, &Quiet).unwrap();
        assert_eq!(std::fs::read(again).unwrap(), body());
    }
}

#[test]
fn a_server_that_does_not_respond_times_out() {
    for (fault, words) in [
        (Fault::Hangs, "time limit"),
        (Fault::Stalls, "at 1000 of 300000 bytes"),
        (Fault::Slow, "stalled"),
        (Fault::Loop, "8 redirects"),
        (Fault::OddRedirect, "not https"),
        (Fault::Huge, "4611686018427387904"),
        (Fault::Unavailable(usize::MAX), "503"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(body(), fault);
        let started = Instant::now();
        let error = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(10), "{fault:?} {:?}", started.elapsed());
        let text = error.to_string();
        assert!(text.contains(words), "{fault:?}: {text}");
        assert_nothing_accepted(dir.path());
        let kept = part(dir.path()).metadata().map_or(0, |m| m.len());
        assert_eq!(text.contains("are kept in"), kept > 0, "{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::Unavailable(1));
    fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap();
}

#[test]
fn two_concurrent_fetches_download_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    let options = options(&server, dir.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let path = fetch(&model(), &options, &Quiet).unwrap();
                assert_eq!(std::fs::read(path).unwrap(), body());
            });
        }
    });
}

#[test]
fn a_complete_but_unverified_download_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    std::fs::create_dir_all(part(dir.path()).parent().unwrap()).unwrap();
    std::fs::write(part(dir.path()), body()).unwrap();
    let path = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
}

#[test]
fn malformed_responses_are_refused() {
    for (fault, expected) in
        [(Fault::OtherCommit, "commit"), (Fault::OddEtag, "etag"), (Fault::NotFound, "404")]
    {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(body(), fault);
        let error = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap_err();
        assert!(error.to_string().contains(expected), "{fault:?}: {error}");
        assert_nothing_accepted(dir.path());
    }
}

#[test]
fn invalid_endpoints_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    // The last one is an address without a listener.
    for endpoint in ["", "huggingface.co", "http://", "http://a b", "ftp://x", "http://127.0.0.1:1"]
    {
        let mut options = options(&server, dir.path());
        options.endpoint = Some(endpoint.to_owned());
        let error = fetch(&model(), &options, &Quiet).unwrap_err();
        assert!(matches!(error, Error::Hub { .. }), "{error}");
    }
    let mut nowhere = options(&server, dir.path());
    nowhere.cache_dir = None;
    assert!(fetch(&model(), &nowhere, &Quiet).unwrap_err().to_string().contains("HF_HOME"));
}

#[test]
fn a_token_is_not_printed() {
    let mut options = HubOptions::default();
    options.token = Some("hf_secret".into());
    assert!(!format!("{options:?}").contains("secret"));
}
