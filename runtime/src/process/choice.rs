//! Whether a call goes to the process that has its arguments.

use super::spans;
use crate::refs::ProcessId;

/// How long a byte takes from one process to another, in nanoseconds: less than loopback and good networks need.
const NANOS_PER_BYTE: u64 = 1;

/// The process that has most of what some arguments name, and how many bytes that is; `None` where they name nothing of
/// processes.
pub(super) fn holder(args: &[u8]) -> Option<(ProcessId, u64)> {
    let mut held: Vec<(ProcessId, u64)> = Vec::new();
    for (process, bytes) in rayline_store::names(args).filter_map(spans::held_by) {
        match held.iter_mut().find(|(other, _)| *other == process) {
            Some((_, sum)) => *sum += bytes,
            None => held.push((process, bytes)),
        }
    }
    held.into_iter().max_by_key(|(_, bytes)| *bytes)
}

/// Whether a call is answered sooner by the process that has `bytes` of its arguments than by the one that is least busy,
/// which would have to read them: by how long each has to do with what it was sent before. So what many calls need doesn't
/// bring all of them to one process.
pub(super) fn is_worth_it(holder_wait_nanos: u64, least_wait_nanos: u64, bytes: u64) -> bool {
    holder_wait_nanos <= least_wait_nanos.saturating_add(bytes.saturating_mul(NANOS_PER_BYTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_wait_for_their_arguments_process_as_long_as_it_takes_to_move_them() {
        let ms = 1_000_000;
        assert!(is_worth_it(10 * ms, 0, 10_000_000));
        assert!(!is_worth_it(11 * ms, 0, 10_000_000));
        assert!(is_worth_it(50 * ms, 45 * ms, 10_000_000));
        assert!(is_worth_it(0, 0, 1));
        assert!(is_worth_it(u64::MAX, u64::MAX, u64::MAX));
    }
}
