//! Classes that a model tells apart, and the labels that each is made of.

use crate::{Error, LabelMask, Result};
use serde::{Deserialize, Serialize};

/// Largest number of classes of one model: each is a plane of logits.
pub const MAX_CLASSES: usize = 32;

/// Name of the only class where all labels are one.
const FOREGROUND: &str = "foreground";

/// One class: a name, and the labels that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    name: String,
    /// Without labels: every label above 0.
    labels: Vec<u8>,
}

/// The classes of a model: the table from the labels of the ground truth to class 1, 2, …; what is in no
/// class is background, class 0. Written as `pz=1,tz=2`, several labels of a class with a plus
/// (`gland=1+2`). The default is one class of every label above 0, written `foreground`.
///
/// ```
/// use desam_core::ClassTable;
///
/// let zones: ClassTable = "pz=1,tz=2+3".parse()?;
/// assert_eq!(zones.len(), 2);
/// assert_eq!([0, 1, 2, 3, 4].map(|label| zones.class_of(label)), [0, 1, 2, 2, 0]);
/// assert_eq!(ClassTable::default().class_of(4), 1);
/// # Ok::<(), desam_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClassTable(Vec<Class>);

impl Default for ClassTable {
    fn default() -> Self {
        Self(vec![Class { name: FOREGROUND.to_owned(), labels: Vec::new() }])
    }
}

impl ClassTable {
    /// Number of classes, without background; at least 1.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Always false: there is at least one class.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is the default, one class of every label above 0.
    pub fn is_foreground(&self) -> bool {
        *self == Self::default()
    }

    /// Whether there are several classes.
    pub fn is_several(&self) -> bool {
        self.len() > 1
    }

    /// The names, in the order of the classes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|class| class.name.as_str())
    }

    /// The name of class `class`, from 1.
    pub fn name(&self, class: usize) -> Option<&str> {
        Some(self.0.get(class.checked_sub(1)?)?.name.as_str())
    }

    /// The class of a label, from 1; 0 is background.
    pub fn class_of(&self, label: u8) -> u8 {
        let has = |class: &Class| class.labels.is_empty() || class.labels.contains(&label);
        match self.0.iter().position(has) {
            // At most MAX_CLASSES.
            Some(index) if label > 0 => index as u8 + 1,
            _ => 0,
        }
    }

    /// The labels of class `class`, from 1; empty for the class of every label.
    pub fn labels_of(&self, class: usize) -> &[u8] {
        let class = class.checked_sub(1).and_then(|index| self.0.get(index));
        class.map_or(&[], |class| &class.labels)
    }

    /// The label that a written mask has where class `class`, from 1, was found: the first of its labels in
    /// the table, so that masks can be compared with the ground truth; 1 for the class of every
    /// label. 0 is background.
    pub fn written_label(&self, class: usize) -> u8 {
        match class {
            0 => 0,
            _ => self.labels_of(class).first().copied().unwrap_or(1),
        }
    }

    /// A map of labels as one of classes.
    pub fn classes_of(&self, labels: LabelMask) -> LabelMask {
        let table = self.table();
        labels.map(|label| table[usize::from(label)])
    }

    /// The class of every label.
    pub fn table(&self) -> [u8; 256] {
        std::array::from_fn(|label| self.class_of(label as u8))
    }

    /// The label to write for each class, background first.
    pub fn written_labels(&self) -> Vec<u8> {
        (0..=self.len()).map(|class| self.written_label(class)).collect()
    }

    /// Checks names, labels and their number.
    fn checked(self) -> Result<Self> {
        let refuse = |problem: String| Err(Error::Classes(problem));
        if !(1..=MAX_CLASSES).contains(&self.len()) {
            return refuse(format!("expected 1 to {MAX_CLASSES} classes, found {}", self.len()));
        }
        let mut taken = [false; 256];
        for (n, class) in self.0.iter().enumerate() {
            let name = &class.name;
            let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == ' ';
            if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                return refuse(format!(
                    "name {name:?}: expected letters, digits, spaces, hyphens and underscores, at most \
                     64 bytes"
                ));
            }
            if name.eq_ignore_ascii_case("background") {
                return refuse("background is what is in no class, and cannot be one".into());
            }
            let other = self.0[..n].iter().find(|other| file_name(&other.name) == file_name(name));
            if let Some(other) = other {
                let other = &other.name;
                return refuse(format!(
                    "names {other:?} and {name:?} are the same in the name of a file; rename one of them"
                ));
            }
            for &label in &class.labels {
                if label == 0 {
                    return refuse(format!("class {name}: label 0 is background"));
                }
                if std::mem::replace(&mut taken[usize::from(label)], true) {
                    return refuse(format!("label {label} comes twice"));
                }
            }
        }
        Ok(self)
    }
}

/// A class's name as a part of a file's name, on any file system.
fn file_name(name: &str) -> String {
    name.replace(' ', "_").to_lowercase()
}

impl std::fmt::Display for ClassTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class = |class: &Class| {
            let labels: Vec<String> = class.labels.iter().map(ToString::to_string).collect();
            if labels.is_empty() {
                return class.name.clone();
            }
            format!("{}={}", class.name, labels.join("+"))
        };
        f.write_str(&self.0.iter().map(class).collect::<Vec<_>>().join(","))
    }
}

impl std::str::FromStr for ClassTable {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == FOREGROUND {
            return Ok(Self::default());
        }
        let class = |part: &str| {
            let (name, labels) = part.split_once('=').ok_or_else(|| {
                let problem = "expected NAME=LABEL, or NAME=LABEL+LABEL for several labels";
                Error::Classes(format!("{:?}: {problem}", part.trim()))
            })?;
            let label = |text: &str| {
                text.trim().parse::<u8>().map_err(|_| {
                    let text = text.trim();
                    Error::Classes(format!("label {text:?}: expected a whole number from 1 to 255"))
                })
            };
            let labels = labels.split('+').map(label).collect::<Result<Vec<u8>>>()?;
            Ok(Class { name: name.trim().to_owned(), labels })
        };
        Self(text.split(',').map(class).collect::<Result<_>>()?).checked()
    }
}

impl TryFrom<String> for ClassTable {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ClassTable> for String {
    fn from(classes: ClassTable) -> Self {
        classes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_as_written() {
        for text in ["foreground", "pz=1,tz=2", "gland=1+2+3,lesion=7", "left kidney=3"] {
            let table: ClassTable = text.parse().unwrap();
            assert_eq!(table.to_string(), text);
            let json = serde_json::to_string(&table).unwrap();
            assert_eq!(serde_json::from_str::<ClassTable>(&json).unwrap(), table);
        }
        let spaced: ClassTable = " cup = 255 , disc = 128 + 64".parse().unwrap();
        assert_eq!(spaced.to_string(), "cup=255,disc=128+64");
        assert_eq!(spaced.written_labels(), [0, 255, 128]);
        assert_eq!(spaced.names().collect::<Vec<_>>(), ["cup", "disc"]);
        assert_eq!((spaced.name(2), spaced.name(0), spaced.name(3)), (Some("disc"), None, None));
        let labels = LabelMask::new(1, 5, vec![0, 255, 128, 64, 9]).unwrap();
        assert_eq!(spaced.classes_of(labels).data(), [0, 1, 2, 2, 0]);
        assert_eq!(ClassTable::default().written_labels(), [0, 1]);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let many: Vec<String> = (1..=33).map(|n| format!("c{n}={n}")).collect();
        for (text, word) in [
            ("", "NAME=LABEL"),
            ("pz", "NAME=LABEL"),
            ("pz=", "whole number"),
            ("pz=0", "background"),
            ("pz=256", "1 to 255"),
            ("pz=1,pz=2", "rename one"),
            ("left pz=1,Left_PZ=2", "rename one"),
            ("pz=1,tz=1", "label 1 comes twice"),
            ("Background=1", "no class"),
            ("p/z=1", "letters"),
            ("=1", "letters"),
            (many.join(",").as_str(), "1 to 32 classes"),
        ] {
            let error = text.parse::<ClassTable>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
