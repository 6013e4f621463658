//! The few messages of TensorFlow's `event.proto` and `summary.proto` that scalars need, written by hand: four field
//! kinds don't pay for a protocol compiler and its run time.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding>; TensorFlow, `tensorflow/core/util/event.proto`,
//! `tensorflow/core/framework/summary.proto`.

/// Wire types of fields.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;
/// `SessionLog.SessionStatus.START`.
const START: u64 = 1;

/// What an event says besides when.
pub(super) enum Said<'a> {
    /// The first event of a file: which format follows.
    Version,
    /// That events of this step and later ones, written to earlier files, are void.
    Restart,
    /// Numbers by name.
    Scalars(&'a [(&'static str, Option<f64>)]),
}

/// One `Event`: when it was written (seconds since 1970), of which step it is, and what it says.
pub(super) fn event(wall_time: f64, step: u64, said: &Said<'_>) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, FIXED_64);
    event.extend_from_slice(&wall_time.to_le_bytes());
    key(&mut event, 2, VARINT);
    varint(&mut event, step);
    match said {
        Said::Version => bytes(&mut event, 3, b"brain.Event:2"),
        Said::Restart => {
            let mut log = Vec::new();
            key(&mut log, 1, VARINT);
            varint(&mut log, START);
            bytes(&mut event, 7, &log);
        }
        Said::Scalars(values) => bytes(&mut event, 5, &summary(values)),
    }
    event
}

fn summary(values: &[(&'static str, Option<f64>)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, value) in values.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, name.as_bytes());
        key(&mut entry, 2, FIXED_32);
        entry.extend_from_slice(&(value as f32).to_le_bytes());
        bytes(&mut summary, 1, &entry);
    }
    summary
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, BYTES);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Seven bits a byte, the least first; the high bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_format_says() {
        // The example of the encoding's documentation.
        let mut out = Vec::new();
        key(&mut out, 1, VARINT);
        varint(&mut out, 150);
        assert_eq!(out, [0x08, 0x96, 0x01]);
        out.clear();
        varint(&mut out, u64::MAX);
        assert_eq!(out, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }
}
