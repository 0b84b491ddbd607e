//! Values by metric, and numbers that a file must not lose.

use desam_metrics::metric::CaseMetric;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::marker::PhantomData;

/// A value a metric, in the order they were asked for. In JSON an object with the metrics' names,
/// which say the units: `{"dice": 0.9, "hd95_mm": 3.1}`.
#[derive(Debug, Clone, PartialEq)]
pub struct ByMetric<T>(Vec<(CaseMetric, T)>);

impl<T> ByMetric<T> {
    /// What belongs to a metric.
    pub fn get(&self, metric: CaseMetric) -> Option<&T> {
        self.0.iter().find(|(m, _)| *m == metric).map(|(_, value)| value)
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (CaseMetric, &T)> {
        self.0.iter().map(|(metric, value)| (*metric, value))
    }

    /// Changes what belongs to a metric, where there is something.
    pub(super) fn update(&mut self, metric: CaseMetric, change: impl FnOnce(&mut T)) {
        if let Some((_, value)) = self.0.iter_mut().find(|(m, _)| *m == metric) {
            change(value);
        }
    }

    /// Whether there are none, as in files that were written before there was a choice.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for ByMetric<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(CaseMetric, T)> for ByMetric<T> {
    fn from_iter<I: IntoIterator<Item = (CaseMetric, T)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for ByMetric<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(metric, value)| (metric, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByMetric<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = ByMetric<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of metrics by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(entry) = map.next_entry()? {
            values.push(entry);
        }
        Ok(ByMetric(values))
    }
}

/// What a metric makes of a case in means: `None` where the policy on empty masks leaves it out.
/// JSON has no word for an infinite distance; it is written as `"infinite"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Measured(#[serde(with = "number")] pub Option<f64>);

/// A number that may be missing or infinite.
pub(super) mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    const INFINITE: &str = "infinite";

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Word(String),
    }

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(v) if *v == f64::INFINITY => serializer.serialize_str(INFINITE),
            value => value.serialize(serializer),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        match Option::<Written>::deserialize(deserializer)? {
            None => Ok(None),
            Some(Written::Number(v)) => Ok(Some(v)),
            Some(Written::Word(word)) if word == INFINITE => Ok(Some(f64::INFINITY)),
            Some(Written::Word(word)) => {
                Err(de::Error::custom(format!("{word:?}: expected a number or {INFINITE:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_by_name_and_read_back() {
        let hd95: CaseMetric = "hd95_mm".parse().unwrap();
        let values: ByMetric<Measured> = [
            (CaseMetric::DICE, Measured(Some(0.5))),
            (hd95, Measured(Some(f64::INFINITY))),
            ("assd_mm".parse().unwrap(), Measured(None)),
        ]
        .into_iter()
        .collect();
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(json, r#"{"dice":0.5,"hd95_mm":"infinite","assd_mm":null}"#);
        assert_eq!(serde_json::from_str::<ByMetric<Measured>>(&json).unwrap(), values);
        assert_eq!(values.get(hd95), Some(&Measured(Some(f64::INFINITY))));
    }

    #[test]
    fn other_words_and_unknown_metrics_are_refused() {
        for (json, word) in
            [(r#"{"dice":"much"}"#, "infinite"), (r#"{"dise":1}"#, "dise"), ("[1]", "by name")]
        {
            let refused = serde_json::from_str::<ByMetric<Measured>>(json).unwrap_err();
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }
}
