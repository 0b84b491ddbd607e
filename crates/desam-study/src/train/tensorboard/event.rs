//! TensorBoard events in protocol buffer encoding: the few fields that scalars need.
//!
//! From TensorFlow's `event.proto` and `summary.proto`:
//!
//! ```text
//! Event      wall_time = 1 double, step = 2 int64, and one of
//!            file_version = 3 string, summary = 5 Summary, session_log = 7 SessionLog
//! Summary    value = 1 Value, repeated
//! Value      tag = 1 string, simple_value = 2 float
//! SessionLog status = 1 enum, START = 1
//! ```

use std::time::Duration;

/// File version without which TensorBoard ignores `SessionLog`.
const VERSION: &str = "brain.Event:2";

/// Content of an event.
pub(super) enum EventPayload<'a> {
    Version,
    Scalars(&'a [(&'a str, f64)]),
    SessionStart,
}

/// One event.
pub(super) struct Event<'a> {
    /// Time since the Unix epoch.
    pub(super) time: Duration,
    pub(super) step: u64,
    pub(super) payload: EventPayload<'a>,
}

impl Event<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Message::default();
        out.double(1, self.time.as_secs_f64());
        out.integer(2, self.step);
        match self.payload {
            EventPayload::Version => out.bytes(3, VERSION.as_bytes()),
            EventPayload::Scalars(values) => {
                let mut summary = Message::default();
                for (tag, value) in values {
                    let mut one = Message::default();
                    one.bytes(1, tag.as_bytes());
                    one.float(2, *value as f32);
                    summary.bytes(1, &one.0);
                }
                out.bytes(5, &summary.0);
            }
            EventPayload::SessionStart => {
                let mut log = Message::default();
                log.integer(1, 1);
                out.bytes(7, &log.0);
            }
        }
        out.0
    }
}

/// A protocol buffer message under construction. A field's key is `number << 3 | wire type`.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn integer(&mut self, field: u8, value: u64) {
        self.0.push(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.0.push(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.0.push(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u8, value: f32) {
        self.0.push(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    /// Variable-length integer: 7 bits per byte, lowest first; the top bit marks that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_encoded_as_protocol_buffers() {
        // By hand from the encoding's description: keys, lengths, little-endian numbers; 300 is
        // `ac 02`, the description's own example of a varint.
        let time = Duration::from_millis(1_500);
        let scalars = Event { time, step: 300, payload: EventPayload::Scalars(&[("ab", 0.5)]) };
        let mut expected = vec![0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0xac, 0x02];
        expected.extend([0x2a, 11, 0x0a, 9, 0x0a, 2, b'a', b'b', 0x15, 0, 0, 0, 0x3f]);
        assert_eq!(scalars.encode(), expected);
        let start = Event { time, step: 0, payload: EventPayload::SessionStart };
        assert_eq!(start.encode()[9..], [0x10, 0, 0x3a, 2, 0x08, 1]);
        let version = Event { time, step: 0, payload: EventPayload::Version }.encode();
        assert_eq!(version[11..], *b"\x1a\x0dbrain.Event:2");
    }
}
