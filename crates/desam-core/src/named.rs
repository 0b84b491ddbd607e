//! Enums whose variants have names: in files, on the command line and in messages.

use crate::text::did_you_mean;
use std::fmt;

/// An enum that [`named!`](crate::named) defined, for code that is generic over such enums (a
/// command line's list of choices).
pub trait Named: Copy + 'static {
    /// The variants, in the order of their definition.
    const VARIANTS: &'static [Self];
    /// The names of [`VARIANTS`](Self::VARIANTS).
    const NAMES: &'static [&'static str];
}

/// A name that no variant of an enum has; the error of [`FromStr`](std::str::FromStr) of a
/// [`named!`](crate::named) enum.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownName {
    /// The subject of the enum, such as `precision`.
    pub what: &'static str,
    /// The unknown name.
    pub found: String,
    /// The names that exist.
    pub expected: &'static [&'static str],
}

impl UnknownName {
    /// An error for `found`, which is none of `expected`.
    pub fn new(what: &'static str, found: &str, expected: &'static [&'static str]) -> Self {
        Self { what, found: found.to_owned(), expected }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, expected } = self;
        write!(f, "{what} {found:?}: expected ")?;
        for (i, name) in expected.iter().enumerate() {
            let separator = match expected.len() - i {
                _ if i == 0 => "",
                1 => " or ",
                _ => ", ",
            };
            write!(f, "{separator}{name}")?;
        }
        f.write_str(&did_you_mean(found, expected.iter().copied()))
    }
}

impl std::error::Error for UnknownName {}

/// Defines an enum without fields whose variants have names, each written once.
///
/// The enum derives `Debug`, `Clone`, `Copy`, `PartialEq`, `Eq` and `Hash`, and gets
///
/// - `ALL`, `NAMES` and `name()`, and the trait [`Named`](crate::Named);
/// - `Display` (the name) and `FromStr`, with the error [`UnknownName`](crate::UnknownName);
/// - `Serialize` and `Deserialize` as the name.
///
/// The string after the enum's name says in errors what it is. Where stored files spell a variant
/// differently, the spelling follows as `=> "…"`: serde reads and writes it instead of the name.
///
/// ```
/// desam_core::named! {
///     /// Placement of squeeze-and-excitation.
///     #[derive(Default)]
///     pub enum Placement: "placement" {
///         /// After the norm.
///         #[default]
///         Official = "official",
///         /// Before the norm.
///         BeforeNorm = "before-norm" => "before_norm",
///     }
/// }
///
/// assert_eq!(Placement::NAMES, ["official", "before-norm"]);
/// assert_eq!("before-norm".parse(), Ok(Placement::BeforeNorm));
/// assert_eq!(Placement::BeforeNorm.to_string(), "before-norm");
/// let error = "offical".parse::<Placement>().unwrap_err();
/// let expected = "placement \"offical\": expected official or before-norm; did you mean official?";
/// assert_eq!(error.to_string(), expected);
/// ```
#[macro_export]
macro_rules! named {
    (
        $(#[$meta:meta])*
        $vis:vis enum $type:ident: $what:literal {
            $($(#[$variant_meta:meta])* $variant:ident = $name:literal $(=> $stored:literal)?),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $type {
            $($(#[$variant_meta])* $variant,)+
        }

        // Not every enum's user needs the list, or the names.
        #[allow(dead_code)]
        impl $type {
            /// All variants, in the order of their definition.
            $vis const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];
            /// The names of [`ALL`](Self::ALL).
            $vis const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// The variant's name.
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl $crate::Named for $type {
            const VARIANTS: &'static [Self] = &Self::ALL;
            const NAMES: &'static [&'static str] = &Self::NAMES;
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::UnknownName;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                match text {
                    $($name => ::std::result::Result::Ok(Self::$variant),)+
                    _ => ::std::result::Result::Err($crate::UnknownName::new($what, text, &Self::NAMES)),
                }
            }
        }

        impl $crate::__private::serde::Serialize for $type {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(match self {
                    $(Self::$variant => $crate::named!(@stored $name $($stored)?),)+
                })
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                const STORED: &[(&str, $type)] =
                    &[$(($crate::named!(@stored $name $($stored)?), $type::$variant)),+];
                const EXPECTED: &[&str] = &[$($crate::named!(@stored $name $($stored)?)),+];
                $crate::__private::deserialize(deserializer, STORED, EXPECTED)
            }
        }
    };
    (@stored $name:literal) => { $name };
    (@stored $name:literal $stored:literal) => { $stored };
}

/// Deserializes a variant from its stored spelling; the body behind [`named!`](crate::named).
pub fn deserialize<'de, T: Copy, D: serde::Deserializer<'de>>(
    deserializer: D,
    stored: &'static [(&'static str, T)],
    expected: &'static [&'static str],
) -> Result<T, D::Error> {
    struct NameVisitor<T: 'static>(&'static [(&'static str, T)], &'static [&'static str]);

    impl<T: Copy> serde::de::Visitor<'_> for NameVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "one of {}", self.1.join(", "))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            let found = self.0.iter().find(|(name, _)| *name == text);
            found.map(|(_, variant)| *variant).ok_or_else(|| E::unknown_variant(text, self.1))
        }
    }

    deserializer.deserialize_str(NameVisitor(stored, expected))
}

#[cfg(test)]
mod tests {
    use super::{Named, UnknownName};

    crate::named! {
        /// A test's enum.
        #[derive(Default, PartialOrd, Ord)]
        enum Fruit: "fruit" {
            /// The default.
            #[default]
            Apple = "apple",
            /// Stored differently.
            SourCherry = "sour-cherry" => "sour_cherry",
            /// The third.
            Fig = "fig",
        }
    }

    #[test]
    fn names_are_displayed_and_parsed() {
        assert_eq!(Fruit::NAMES, ["apple", "sour-cherry", "fig"]);
        assert_eq!(
            (<Fruit as Named>::NAMES, Fruit::VARIANTS),
            (&Fruit::NAMES[..], &Fruit::ALL[..])
        );
        for fruit in Fruit::ALL {
            assert_eq!(fruit.to_string(), fruit.name());
            assert_eq!(fruit.name().parse(), Ok(fruit));
        }
        assert_eq!(Fruit::default(), Fruit::Apple);
        assert!(Fruit::Apple < Fruit::Fig);
    }

    #[test]
    fn an_unknown_name_is_reported_with_the_choices() {
        let error = "figg".parse::<Fruit>().unwrap_err();
        assert_eq!(error, UnknownName::new("fruit", "figg", &["apple", "sour-cherry", "fig"]));
        assert_eq!(
            error.to_string(),
            "fruit \"figg\": expected apple, sour-cherry or fig; did you mean fig?"
        );
        let far = "xyz".parse::<Fruit>().unwrap_err().to_string();
        assert_eq!(far, "fruit \"xyz\": expected apple, sour-cherry or fig");
    }

    #[test]
    fn stored_spellings_may_differ_from_names() {
        for (fruit, json) in [
            (Fruit::Apple, "\"apple\""),
            (Fruit::SourCherry, "\"sour_cherry\""),
            (Fruit::Fig, "\"fig\""),
        ] {
            assert_eq!(serde_json::to_string(&fruit).unwrap(), json);
            assert_eq!(serde_json::from_str::<Fruit>(json).unwrap(), fruit);
        }
        // As serde's derive words it.
        let error = serde_json::from_str::<Fruit>("\"sour-cherry\"").unwrap_err().to_string();
        let expected =
            "unknown variant `sour-cherry`, expected one of `apple`, `sour_cherry`, `fig`";
        assert!(error.starts_with(expected), "{error}");
        let error = serde_json::from_str::<Fruit>("3").unwrap_err().to_string();
        assert!(error.contains("expected one of apple, sour_cherry, fig"), "{error}");
    }
}
