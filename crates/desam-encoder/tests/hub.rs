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

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The first so many bodies end half way, the connection closed.
    Cut(usize),
    /// It announces this many bytes more than it sends.
    Announces(usize),
    /// One byte of the body is another.
    Changed,
    /// A body that was asked for from the middle starts at the beginning.
    IgnoresRange,
    /// It answers for another commit.
    OtherCommit,
    /// An etag that would leave the cache.
    OddEtag,
    NotFound,
}

struct Server {
    address: String,
    fault: Arc<Mutex<Fault>>,
    /// Where each body was asked to start.
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
    if now == Fault::NotFound {
        return write!(
            out,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    if path.contains("/resolve/") {
        let commit = if now == Fault::OtherCommit { "f".repeat(40) } else { COMMIT.to_owned() };
        let etag = if now == Fault::OddEtag { "../../../x".to_owned() } else { sha256(body) };
        let host = stream.local_addr()?;
        return write!(
            out,
            "HTTP/1.1 302 Found\r\nLocation: http://{host}/storage\r\nX-Repo-Commit: {commit}\r\n\
             ETag: \"other\"\r\nX-Linked-ETag: \"{etag}\"\r\nX-Linked-Size: {}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            body.len()
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
    HubModel { repo: "who/what".into(), file: "model.safetensors".into(), revision: COMMIT.into() }
}

fn options(server: &Server, cache: &Path) -> HubOptions {
    HubOptions {
        cache_dir: Some(cache.to_owned()),
        endpoint: Some(server.address.clone()),
        ..HubOptions::default()
    }
}

fn snapshot(cache: &Path) -> std::path::PathBuf {
    cache.join("models--who--what/snapshots").join(COMMIT).join("model.safetensors")
}

/// Nothing a reader of the cache would take for the file.
fn assert_nothing_accepted(cache: &Path) {
    assert!(!snapshot(cache).exists());
    assert!(!cache.join("models--who--what/blobs").exists());
    let offline =
        HubOptions { cache_dir: Some(cache.to_owned()), offline: true, ..HubOptions::default() };
    assert!(matches!(fetch(&model(), &offline, &Quiet), Err(Error::Offline { .. })));
}

/// Adds up what it is told.
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
    let offline = HubOptions { offline: true, ..options };
    assert_eq!(fetch(&model(), &offline, &Quiet).unwrap(), path);
    assert_eq!(server.requests.load(Ordering::SeqCst), asked);
}

#[test]
fn a_branch_is_remembered_by_its_commit() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    let main = HubModel { revision: "main".into(), ..model() };
    let path = fetch(&main, &options(&server, dir.path()), &Quiet).unwrap();
    assert_eq!(path, snapshot(dir.path()));
    let reference = dir.path().join("models--who--what/refs/main");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), COMMIT);
    let offline = HubOptions { offline: true, ..options(&server, dir.path()) };
    assert_eq!(fetch(&main, &offline, &Quiet).unwrap(), path);
}

#[test]
fn offline_and_not_cached_says_where_it_looked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    let offline = HubOptions { offline: true, ..options(&server, dir.path()) };
    let error = fetch(&model(), &offline, &Quiet).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&*snapshot(dir.path()).to_string_lossy()), "{text}");
    assert!(text.contains("offline"), "{text}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
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
fn a_connection_that_stays_cut_is_an_error_and_a_later_call_goes_on() {
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
fn another_size_than_announced_is_thrown_away() {
    for (fault, received) in [(Fault::Announces(100), "300000"), (Fault::IgnoresRange, "450000")] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(body(), fault);
        if fault == Fault::IgnoresRange {
            // Half of it came before.
            let blobs = dir.path().join(".desam-incoming/models--who--what/blobs");
            std::fs::create_dir_all(&blobs).unwrap();
            let part = blobs.join(format!("{}.part", sha256(&body())));
            std::fs::write(part, &body()[..150_000]).unwrap();
        }
        let error = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap_err();
        assert!(matches!(&error, Error::Download { what: "size in bytes", .. }), "{error}");
        assert!(error.to_string().contains(received), "{error}");
        assert_nothing_accepted(dir.path());
        server.becomes(Fault::None);
        let path = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), body());
    }
}

#[test]
fn another_content_than_announced_is_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::Changed);
    let error = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap_err();
    assert!(matches!(&error, Error::Download { what: "sha256", .. }), "{error}");
    assert_nothing_accepted(dir.path());
}

#[test]
fn a_download_that_was_whole_when_it_was_killed_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    let blobs = dir.path().join(".desam-incoming/models--who--what/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(format!("{}.part", sha256(&body()))), body()).unwrap();
    let path = fetch(&model(), &options(&server, dir.path()), &Quiet).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
}

#[test]
fn what_the_hub_should_not_answer_is_refused() {
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
fn endpoints_that_are_none_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(body(), Fault::None);
    // The last one is an address where nobody listens.
    for endpoint in ["", "huggingface.co", "http://", "http://a b", "ftp://x", "http://127.0.0.1:1"]
    {
        let endpoint = Some(endpoint.to_owned());
        let options = HubOptions { endpoint, ..options(&server, dir.path()) };
        let error = fetch(&model(), &options, &Quiet).unwrap_err();
        assert!(matches!(error, Error::Hub { .. }), "{error}");
    }
    let nowhere = HubOptions { cache_dir: None, ..options(&server, dir.path()) };
    assert!(fetch(&model(), &nowhere, &Quiet).unwrap_err().to_string().contains("HF_HOME"));
}

#[test]
fn a_token_is_not_printed() {
    let options = HubOptions { token: Some("hf_secret".into()), ..HubOptions::default() };
    assert!(!format!("{options:?}").contains("secret"));
}
