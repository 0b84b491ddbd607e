//! Ground truth of a slice by classes, on the host.

use crate::{BinaryMask, ClassTable, Error, LabelMask, Result};

/// A 2-D map of classes, row by row: 0 is background, `1 ..= classes()` the classes.
///
/// ```
/// use desam_core::{ClassMask, ClassTable, LabelMask};
///
/// let zones: ClassTable = "pz=1,tz=2".parse()?;
/// let truth = ClassMask::of_labels(LabelMask::new(1, 3, vec![2, 0, 1])?, &zones);
/// assert_eq!((truth.classes(), truth.class(2).data()), (2, &[1, 0, 0][..]));
/// # Ok::<(), desam_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMask {
    map: LabelMask,
    classes: usize,
}

impl ClassMask {
    /// A map of classes.
    ///
    /// # Errors
    /// When a pixel has a class above `classes`.
    pub fn new(map: LabelMask, classes: usize) -> Result<Self> {
        match map.data().iter().max() {
            Some(&most) if usize::from(most) > classes => {
                Err(Error::shape("classes of a mask", format_args!("0 to {classes}"), most))
            }
            _ => Ok(Self { map, classes }),
        }
    }

    /// A map of labels as one of classes.
    pub fn of_labels(labels: LabelMask, classes: &ClassTable) -> Self {
        Self { map: classes.classes_of(labels), classes: classes.len() }
    }

    /// Number of classes, without background.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class of each pixel.
    pub fn map(&self) -> &LabelMask {
        &self.map
    }

    /// The same classes in other places.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_map(&self, map: LabelMask) -> Result<Self> {
        Self::new(map, self.classes)
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.map.height()
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.map.width()
    }

    /// Whether there is background alone.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The pixels of class `class`, from 1.
    pub fn class(&self, class: usize) -> BinaryMask {
        match u8::try_from(class) {
            Ok(class) if class > 0 => self.map.of(class),
            _ => BinaryMask::empty(self.height(), self.width()),
        }
    }

    /// The pixels of any class.
    pub fn foreground(&self) -> BinaryMask {
        self.map.foreground()
    }

    /// The classes that occur, rising, from 1.
    pub fn present(&self) -> Vec<usize> {
        self.map.labels().into_iter().map(usize::from).collect()
    }
}

impl From<BinaryMask> for ClassMask {
    /// One class: the foreground.
    fn from(mask: BinaryMask) -> Self {
        Self { map: mask.into(), classes: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_beyond_the_table_are_refused() {
        let map = LabelMask::new(1, 3, vec![0, 2, 1]).unwrap();
        assert!(ClassMask::new(map.clone(), 1).is_err());
        let mask = ClassMask::new(map, 3).unwrap();
        assert_eq!(mask.present(), [1, 2]);
        assert_eq!(mask.class(2).data(), [0, 1, 0]);
        assert!([0, 3, 999].iter().all(|class| mask.class(*class).is_empty()));
        assert!(mask.with_map(LabelMask::new(1, 1, vec![4]).unwrap()).is_err());
        let one = ClassMask::from(BinaryMask::new(1, 2, vec![0, 5]).unwrap());
        assert_eq!((one.classes(), one.foreground().data()), (1, &[0, 1][..]));
    }
}
