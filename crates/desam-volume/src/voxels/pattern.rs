//! Header fields that name several data files: a list, or a printf pattern.

/// The data files that a header names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DataFiles {
    /// Behind the header, in the same file.
    Local,
    /// One file.
    One(String),
    /// Several files, each with as many values; their order is that of the voxels.
    Several(Vec<String>),
}

/// The most data files of one volume.
pub(crate) const MOST_FILES: usize = 1 << 16;

/// A name with one whole number in it, written as C's `printf` has it: `slice%03d.raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePattern {
    before: String,
    width: usize,
    zeros: bool,
    after: String,
}

impl NamePattern {
    /// `None` where there is not exactly one conversion `%d`, `%3d`, `%03d`, …
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (before, rest) = text.split_once('%')?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (flags, rest) = rest.split_at_checked(digits)?;
        let after = rest.strip_prefix('d')?;
        if after.contains('%') {
            return None;
        }
        let width = if flags.is_empty() { 0 } else { flags.parse().ok().filter(|w| *w <= 64)? };
        let (before, after) = (before.to_owned(), after.to_owned());
        Some(Self { before, width, zeros: flags.starts_with('0'), after })
    }

    /// The name with this number.
    pub(crate) fn name(&self, number: i64) -> String {
        let Self { before, width, zeros, after } = self;
        if *zeros {
            format!("{before}{number:0width$}{after}")
        } else {
            format!("{before}{number:width$}{after}")
        }
    }
}

/// A pattern with the numbers behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NumberedNames {
    pub(crate) pattern: NamePattern,
    /// Numbers after the pattern: the first and the last number, the step, …
    pub(crate) numbers: Vec<i64>,
}

impl NumberedNames {
    /// Takes `slice%03d.raw 1 5 1` apart, whose last words are up to `most` whole numbers. Spaces
    /// may be part of the pattern.
    pub(crate) fn parse(text: &str, most: usize) -> Option<Self> {
        let mut rest = text.trim();
        let mut numbers = Vec::new();
        while numbers.len() < most
            && let Some((head, word)) = rest.rsplit_once(char::is_whitespace)
            && let Ok(number) = word.parse::<i64>()
        {
            numbers.insert(0, number);
            rest = head.trim_end();
        }
        NamePattern::parse(rest).map(|pattern| Self { pattern, numbers })
    }

    /// The names of `first`, `first + step`, … up to `count` of them and none beyond `last`.
    pub(crate) fn names(&self, first: i64, last: i64, step: i64, count: usize) -> Vec<String> {
        let number = |n: usize| first.checked_add(step.checked_mul(i64::try_from(n).ok()?)?);
        let within = |n: &i64| if step >= 0 { *n <= last } else { *n >= last };
        let all = (0..count.min(MOST_FILES)).map_while(number).take_while(within);
        all.map(|n| self.pattern.name(n)).collect()
    }
}

/// The word behind `LIST`, where this is `LIST` or `LIST 2`, and not the name of a file.
pub(crate) fn list_dimension(text: &str) -> Option<Option<usize>> {
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some("LIST") {
        return None;
    }
    let dimension = match words.next() {
        None => None,
        // MetaIO reads `2D` as well.
        Some(word) => Some(word.trim_end_matches(['D', 'd']).parse().ok()?),
    };
    words.next().is_none().then_some(dimension)
}

/// Expected number of files when each holds the first `dimension` axes of an image.
pub(crate) fn files_of(sizes: &[usize], dimension: usize) -> Option<usize> {
    let rest = sizes.get(dimension..)?;
    rest.iter().try_fold(1_usize, |n, &size| n.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_printfs() {
        let name = |text: &str, n| NamePattern::parse(text).map(|p| p.name(n));
        // printf(1) of GNU coreutils 9.1.
        assert_eq!(name("s%03d.raw", 7).as_deref(), Some("s007.raw"));
        assert_eq!(name("s%d.raw", -7).as_deref(), Some("s-7.raw"));
        assert_eq!(name("s%04d.raw", -7).as_deref(), Some("s-007.raw"));
        assert_eq!(name("a b%3d", 12).as_deref(), Some("a b 12"));
        for text in ["50%.raw", "50% d.raw", "%s", "%d%d", "%%d", "100%", "%99999d", "s.raw", "%"] {
            assert_eq!(NamePattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_follow_a_pattern() {
        let parse = |text: &str| NumberedNames::parse(text, 4).map(|n| n.numbers);
        assert_eq!(parse("s%03d.raw 1 5 1"), Some(vec![1, 5, 1]));
        assert_eq!(parse("my s%d.raw 5 1 -1 2"), Some(vec![5, 1, -1, 2]));
        assert_eq!(parse("s%d 1 5 1.raw"), Some(vec![]));
        assert_eq!(parse("T2 77 %.raw"), None);
        let names = NumberedNames::parse("s%d", 4).unwrap();
        assert_eq!(names.names(5, 1, -2, 9), ["s5", "s3", "s1"]);
        assert_eq!(names.names(1, 3, 1, 2), ["s1", "s2"]);
        assert_eq!(names.names(i64::MAX, i64::MAX, 1, 5).len(), 1);
        assert!(names.names(1, i64::MAX, 1, usize::MAX).len() == MOST_FILES);
    }

    #[test]
    fn lists_are_told_from_names() {
        assert_eq!(list_dimension("LIST"), Some(None));
        assert_eq!(list_dimension("LIST 2"), Some(Some(2)));
        assert_eq!(list_dimension("LIST 2D"), Some(Some(2)));
        for name in ["LISTE.raw", "LIST.raw", "LIST a.raw", "LIST 1 2", "list", ""] {
            assert_eq!(list_dimension(name), None, "{name}");
        }
        assert_eq!(files_of(&[3, 4, 5], 2), Some(5));
        assert_eq!(files_of(&[3, 4, 5], 1), Some(20));
        assert_eq!(files_of(&[3, 4, 5], 4), None);
    }
}
