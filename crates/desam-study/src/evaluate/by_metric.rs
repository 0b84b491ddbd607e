//! Values by metric, and lossless JSON of infinite numbers.

use desam_metrics::metric::CaseMetric;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::marker::PhantomData;

/// One value per metric, in the requested order. In JSON an object with the metrics' names, which
/// contain the units: `{"dice": 0.9, "hd95_mm": 3.1}`.
#[derive(Debug, Clone, PartialEq)]
pub struct ByMetric<T>(Vec<(CaseMetric, T)>);

impl<T> ByMetric<T> {
    /// The value of a metric.
    pub fn get(&self, metric: CaseMetric) -> Option<&T> {
        self.0.iter().find(|(m, _)| *m == metric).map(|(_, value)| value)
    }

    /// All metrics and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (CaseMetric, &T)> {
        self.0.iter().map(|(metric, value)| (*metric, value))
    }

    /// Changes the value of a metric, if it is present.
    pub(super) fn update(&mut self, metric: CaseMetric, change: impl FnOnce(&mut T)) {
        if let Some((_, value)) = self.0.iter_mut().find(|(m, _)| *m == metric) {
            change(value);
        }
    }

    /// Whether there are no values, as in files from before metrics were selectable.
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
        deserializer.deserialize_map(ByMetricVisitor(PhantomData))
    }
}

struct ByMetricVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ByMetricVisitor<T> {
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

/// Value of a metric for a case as it counts in means; `None` where the policy on empty masks leaves the
/// case out. JSON has no infinity; it is written as `"infinite"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricValue(#[serde(with = "number")] pub Option<f64>);

/// Serde of a number that may be missing or infinite.
pub(super) mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    const INFINITE: &str = "infinite";

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberOrWord {
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
        match Option::<NumberOrWord>::deserialize(deserializer)? {
            None => Ok(None),
            Some(NumberOrWord::Number(v)) => Ok(Some(v)),
            Some(NumberOrWord::Word(word)) if word == INFINITE => Ok(Some(f64::INFINITY)),
            Some(NumberOrWord::Word(word)) => {
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
        let values: ByMetric<MetricValue> = [
            (CaseMetric::DICE, MetricValue(Some(0.5))),
            (hd95, MetricValue(Some(f64::INFINITY))),
            ("assd_mm".parse().unwrap(), MetricValue(None)),
        ]
        .into_iter()
        .collect();
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(json, r#"{"dice":0.5,"hd95_mm":"infinite","assd_mm":null}"#);
        assert_eq!(serde_json::from_str::<ByMetric<MetricValue>>(&json).unwrap(), values);
        assert_eq!(values.get(hd95), Some(&MetricValue(Some(f64::INFINITY))));
    }

    #[test]
    fn other_words_and_unknown_metrics_are_refused() {
        for (json, word) in
            [(r#"{"dice":"much"}"#, "infinite"), (r#"{"dise":1}"#, "dise"), ("[1]", "by name")]
        {
            let refused = serde_json::from_str::<ByMetric<MetricValue>>(json).unwrap_err();
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }
}
