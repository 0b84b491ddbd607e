//! Names as text: escaping of paths that are not UTF-8 and of terminal control characters, and "did you
//! mean" suggestions.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Escapes a path as text, reversibly: [`path_from_text`] restores it.
///
/// Paths are bytes on Unix. UTF-8 is unchanged, and each other byte becomes `\xNN`, two capital
/// hexadecimal digits. To keep this reversible, a backslash that would read as such an escape becomes
/// `\x5C`.
///
/// ```
/// use desam_core::text::path_text;
/// use std::path::Path;
///
/// assert_eq!(path_text(Path::new("data/Case00.nii.gz")), "data/Case00.nii.gz");
/// ```
pub fn path_text(path: &Path) -> Cow<'_, str> {
    name_text(path.as_os_str())
}

/// [`path_text`] for a single name.
#[cfg(unix)]
pub fn name_text(name: &OsStr) -> Cow<'_, str> {
    bytes_text(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

/// [`path_text`] for a single name. Names of other systems are UTF-16 that is nearly always valid.
#[cfg(not(unix))]
pub fn name_text(name: &OsStr) -> Cow<'_, str> {
    name.to_string_lossy()
}

/// [`path_text`] for bytes, such as a line of a header that may name a file.
pub fn bytes_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !contains_escape(text) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(bytes)),
    }
}

/// Restores the path from the output of [`path_text`].
pub fn path_from_text(text: &str) -> PathBuf {
    if !contains_escape(text) {
        return PathBuf::from(text);
    }
    unescaped(text)
}

/// Decodes the escape that `bytes` begin with.
fn escape_at(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'\\', b'x', high, low, ..] => Some(16 * hex_digit(*high)? + hex_digit(*low)?),
        _ => None,
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn contains_escape(text: &str) -> bool {
    cfg!(unix) && text.as_bytes().windows(4).any(|window| escape_at(window).is_some())
}

fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (at, character) in valid.char_indices() {
            if escape_at(&valid.as_bytes()[at..]).is_some() {
                text.push_str("\\x5C");
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

#[cfg(unix)]
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        let (byte, length) = escape_at(rest).map_or((first, 1), |byte| (byte, 4));
        bytes.push(byte);
        rest = rest.get(length..).unwrap_or_default();
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn unescaped(text: &str) -> PathBuf {
    PathBuf::from(text)
}

/// Escapes text for a terminal: control characters other than line feed and tab, and bidirectional
/// controls, become escapes such as `\u{1b}`. A name from a file, a DICOM header or a
/// command line can otherwise move the cursor, set colours or hide what is written.
///
/// ```
/// use desam_core::text::printable;
///
/// assert_eq!(printable("t2\u{1b}[2Jtra"), "t2\\u{1b}[2Jtra");
/// assert_eq!(printable("Prostata-Fall-ü\n"), "Prostata-Fall-ü\n");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unprintable(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

fn is_unprintable(character: char) -> bool {
    let control = character.is_control() && !matches!(character, '\n' | '\t');
    control || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes a name for messages: [`printable`], and on one line.
pub fn one_line(name: &str) -> String {
    printable(name).replace('\n', "\\n").replace('\t', "\\t")
}

/// Escapes a path for messages: [`path_text`] and [`one_line`].
pub fn path_for_people(path: &Path) -> String {
    one_line(&path_text(path))
}

/// Lossless and terminal-safe [`Path::display`](std::path::Path::display): [`path_for_people`] as a
/// method.
pub trait DisplayPath {
    /// [`path_for_people`] of the path.
    fn display_escaped(&self) -> String;
}

impl DisplayPath for Path {
    fn display_escaped(&self) -> String {
        path_for_people(self)
    }
}

/// Minimum Jaro-Winkler similarity of a suggestion.
const MIN_SIMILARITY: f64 = 0.75;

/// The choice most similar to `word`, ignoring case; `None` where none is similar enough.
///
/// ```
/// use desam_core::text::nearest;
///
/// assert_eq!(nearest("RUMNC", ["BMC", "RUNMC", "UCL"]), Some("RUNMC"));
/// assert_eq!(nearest("Vienna", ["BMC", "RUNMC", "UCL"]), None);
/// ```
pub fn nearest<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let score = |choice: &str| strsim::jaro_winkler(&word, &choice.to_lowercase());
    let scored = choices.into_iter().map(|choice| (score(choice), choice));
    let best = scored.filter(|(score, _)| *score >= MIN_SIMILARITY).reduce(|best, next| {
        // The first of equals wins.
        if next.0 > best.0 { next } else { best }
    });
    best.map(|(_, choice)| choice)
}

/// The end of an error message: `; did you mean RUNMC?` where a choice is similar to `word`, else
/// empty.
pub fn did_you_mean<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, choices).map_or_else(String::new, |choice| format!("; did you mean {choice}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn any_bytes_survive_as_text() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes: &'static [u8]| Path::new(std::ffi::OsStr::from_bytes(bytes));
        for (bytes, text) in [
            (&b"caf\xe9.nii.gz"[..], "caf\\xE9.nii.gz"),
            (b"plain", "plain"),
            (b"a\\b", "a\\b"),
            // Text that reads as an escape is escaped itself.
            (b"a\\xE9", "a\\x5CxE9"),
            (b"a\\\xe9", "a\\\\xE9"),
            (b"\\x\xff\\x5C", "\\x\\xFF\\x5Cx5C"),
            (b"\\xE\xf0", "\\xE\\xF0"),
            (b"\xf0\x9f\x98", "\\xF0\\x9F\\x98"),
            ("ü/日本\u{1f600}".as_bytes(), "ü/日本\u{1f600}"),
        ] {
            assert_eq!(path_text(path(bytes)), text);
            assert_eq!(path_from_text(text).as_os_str().as_bytes(), bytes, "{text}");
        }
        // Every sequence of four bytes out of those that matter.
        let bytes = *b"\\xE9\xe9";
        for n in 0..5usize.pow(5) {
            let name: Vec<u8> = (0..5).map(|at| bytes[n / 5usize.pow(at) % 5]).collect();
            let path = Path::new(std::ffi::OsStr::from_bytes(&name));
            assert_eq!(path_from_text(&path_text(path)), path, "{name:?}");
        }
    }

    #[test]
    fn terminal_control_characters_are_escaped() {
        for (text, safe) in [
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\rb", "a\\rb"),
            ("\u{202e}gnp", "\\u{202e}gnp"),
            ("two\nlines\tand", "two\nlines\tand"),
        ] {
            assert_eq!(printable(text), safe);
        }
        assert_eq!(path_for_people(Path::new("a\nb\u{1b}")), "a\\nb\\u{1b}");
    }

    #[test]
    fn typing_errors_are_recognised() {
        let sites = ["BIDMC", "BMC", "HK", "I2CVB", "RUNMC", "UCL"];
        for (typed, meant) in [
            ("RUMNC", "RUNMC"),
            ("runmc", "RUNMC"),
            ("UCLA", "UCL"),
            ("I2CBV", "I2CVB"),
            ("HKU", "HK"),
        ] {
            assert_eq!(nearest(typed, sites), Some(meant), "{typed}");
        }
        assert_eq!(nearest("Vienna", sites), None);
        assert_eq!(nearest("", sites), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(did_you_mean("RUMNC", sites), "; did you mean RUNMC?");
        assert_eq!(did_you_mean("Vienna", sites), "");
    }
}
