//! Changes to a file's bytes such as a fuzzer makes.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Breaks `bytes`: cuts, bits, bytes, runs, numbers that are too large, pieces moved or doubled;
/// mostly at the start, where headers are.
pub(crate) fn broken(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let length = out.len().max(1);
        let reach = if rng.random_bool(0.7) { length.min(600) } else { length };
        let at = rng.random_range(0..reach).min(out.len().saturating_sub(1));
        match rng.random_range(0..8) {
            0 => out.truncate(at),
            1 if !out.is_empty() => out[at] ^= 1 << rng.random_range(0..8),
            2 if !out.is_empty() => out[at] = rng.random(),
            3 => {
                let extreme: [u8; 4] =
                    [[0xFF; 4], [0x7F, 0xFF, 0xFF, 0xFF], [0; 4]][rng.random_range(0..3)];
                out.iter_mut().skip(at).zip(extreme).for_each(|(to, v)| *to = v);
            }
            4 => {
                let end = (at + rng.random_range(1..64)).min(out.len());
                out.drain(at.min(end)..end);
            }
            5 => {
                let end = (at + rng.random_range(1..64)).min(out.len());
                let piece = out[at.min(end)..end].to_vec();
                out.splice(at..at, piece);
            }
            6 => {
                // A digit of a text header becomes a large number, NaN or a letter.
                let digit = out.iter().skip(at).position(u8::is_ascii_digit).map(|d| d + at);
                if let Some(digit) = digit {
                    let word: &[u8] = [&b"99999999"[..], b"-1", b"1e300", b"nan", b"0", b"x"]
                        [rng.random_range(0..6)];
                    out.splice(digit..=digit, word.iter().copied());
                }
            }
            _ => {
                let other = rng.random_range(0..length).min(out.len().saturating_sub(1));
                if !out.is_empty() {
                    out.swap(at, other);
                }
            }
        }
    }
    out
}
