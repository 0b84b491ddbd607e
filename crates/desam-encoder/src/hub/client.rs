//! HTTP client of the hub: timeouts for each step, and redirects followed by hand to keep the headers of
//! each response and the token away from other hosts.

use super::HubTimeouts;
use super::hash::is_sha256;
use crate::{Error, Result};
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

/// Limit on redirects. The hub's own requests take one or two.
const MOST_REDIRECTS: usize = 8;

const USER_AGENT: &str = concat!("desam/", env!("CARGO_PKG_VERSION"));

/// HTTP client.
pub(super) struct Client {
    agent: Agent,
    token: Option<String>,
}

/// A response after all redirects.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// File metadata from the headers of all responses.
    pub(super) stated: Stated,
    pub(super) body: Body,
}

/// File metadata in the headers of the hub's responses.
#[derive(Debug, Default)]
pub(super) struct Stated {
    pub(super) commit: Option<String>,
    /// The file's SHA-256: the ETag of a file in LFS storage.
    pub(super) sha256: Option<String>,
    /// An ETag that is not a SHA-256, for messages.
    pub(super) other_etag: Option<String>,
    /// Length of the whole file in bytes.
    pub(super) size: Option<u64>,
    /// A second, different length, where responses disagree.
    pub(super) other_size: Option<u64>,
    /// Offset of the first byte of a partial response.
    pub(super) from: Option<u64>,
}

/// A failed request, and whether a retry may succeed.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) passing: bool,
}

impl Client {
    pub(super) fn new(timeouts: &HubTimeouts, token: Option<String>) -> Self {
        let config = Agent::config_builder()
            .max_redirects(0)
            // `check_status` reports a failed status, with the likely cause.
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(Some(timeouts.read))
            .timeout_recv_response(Some(timeouts.read))
            .timeout_per_read(Some(timeouts.read))
            .timeout_per_write(Some(timeouts.read))
            .build();
        Self { agent: config.into(), token }
    }

    /// Requests a range of a file (`bytes=0-0`, `bytes=1000-`), or all of it.
    pub(super) fn get(&self, url: &str, range: Option<&str>) -> Result<Answer, Failure> {
        let refuse = |reason: String| Failure { error: hub_error(url, reason), passing: false };
        let first: Uri = url.parse().map_err(|e| refuse(format!("no address: {e}")))?;
        let mut at = first.clone();
        let mut stated = Stated::default();
        for _ in 0..=MOST_REDIRECTS {
            // Compressed, neither ranges nor lengths would be those of the file.
            let mut request = self.agent.get(at.clone()).header("Accept-Encoding", "identity");
            if let Some(range) = range {
                request = request.header("Range", range);
            }
            // The token is sent to the hub only, never to the host of a redirect.
            if let Some(token) = self.token.as_ref().filter(|_| at.authority() == first.authority())
            {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let answer = request.call().map_err(|e| failure(url, &e))?;
            stated.read(answer.headers());
            if !is_redirect(answer.status()) {
                let (status, body) = (answer.status(), answer.into_body());
                // The length of a partial response is that of the range, not of the file.
                if status == StatusCode::OK {
                    stated.read_size(body.content_length());
                }
                return Ok(Answer { status, stated, body });
            }
            at = target(&at, &answer).map_err(&refuse)?;
        }
        Err(refuse(format!("more than {MOST_REDIRECTS} redirects, the last to {at}")))
    }
}

impl Stated {
    /// Adds the metadata of a response where no earlier one had it.
    fn read(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|t| t.trim().parse::<u64>().ok());
        if self.commit.is_none() {
            self.commit = text("x-repo-commit").map(str::to_owned);
        }
        // The hub's header for files in LFS storage comes first: the ETag after a redirect is the
        // storage server's.
        for name in ["x-linked-etag", "etag"] {
            let etag = text(name).map(|t| t.trim_start_matches("W/").trim_matches('"'));
            match etag {
                Some(hash) if is_sha256(hash) => {
                    self.sha256.get_or_insert_with(|| hash.to_ascii_lowercase());
                }
                Some(other) => {
                    self.other_etag.get_or_insert_with(|| other.chars().take(80).collect());
                }
                None => {}
            }
        }
        self.read_size(number("x-linked-size"));
        // `bytes FROM-TO/TOTAL`
        let range = text("content-range").and_then(|t| t.trim().strip_prefix("bytes "));
        if let Some((span, total)) = range.and_then(|t| t.split_once('/')) {
            self.from = span.split_once('-').and_then(|(from, _)| from.parse().ok());
            self.read_size(total.parse().ok());
        }
    }

    fn read_size(&mut self, size: Option<u64>) {
        match (self.size, size) {
            (None, size) => self.size = size,
            (Some(known), Some(size)) if known != size => self.other_size = Some(size),
            _ => {}
        }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Target of a redirect.
fn target(from: &Uri, answer: &Response<Body>) -> Result<Uri, String> {
    let location = answer.headers().get("location").and_then(|l| l.to_str().ok());
    let Some(location) = location else {
        return Err(format!("{from} redirects to nowhere"));
    };
    let odd = || format!("{from} redirects to {location:?}, which is no address");
    let (scheme, authority) = match (from.scheme_str(), from.authority()) {
        (Some(scheme), Some(authority)) => (scheme, authority.as_str()),
        _ => return Err(odd()),
    };
    // Redirects are followed by hand, so relative references are resolved by hand as well.
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to: Uri = absolute.parse().map_err(|_| odd())?;
    // A local mirror may use http; https never falls back to it.
    match (to.scheme_str(), scheme) {
        (Some("https"), _) | (Some("http"), "http") => Ok(to),
        _ => Err(format!("{from} redirects to {to}, which is not https")),
    }
}

pub(super) fn hub_error(url: &str, reason: impl Into<String>) -> Error {
    Error::Hub { url: url.to_owned(), reason: reason.into() }
}

/// Converts an error of the client. A broken connection is worth a retry; a hub that timed out once
/// will hardly respond within the next timeout.
fn failure(url: &str, error: &ureq::Error) -> Failure {
    let (reason, passing) = match error {
        ureq::Error::Timeout(what) => {
            (format!("no answer within the time limit ({what}); try again later"), false)
        }
        ureq::Error::Io(e) => (format!("the connection failed: {e}"), true),
        other => (other.to_string(), false),
    };
    Failure { error: hub_error(url, reason), passing }
}
