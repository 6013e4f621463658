//! Which process gets a call: one that has its arguments, unless it has much more to do than others.

use super::spans;
use crate::refs::ProcessId;

/// The load of one call under way for each thread.
pub(super) const LOAD: usize = 1024;

/// The process that has most of what some arguments name, by bytes; `None` where they name nothing of other processes.
pub(super) fn holder(args: &[u8]) -> Option<ProcessId> {
    let mut held: Vec<(ProcessId, u64)> = Vec::new();
    for (process, bytes) in rayline_store::names(args).filter_map(spans::held_by) {
        match held.iter_mut().find(|(other, _)| *other == process) {
            Some((_, sum)) => *sum += bytes,
            None => held.push((process, bytes)),
        }
    }
    held.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(process, _)| process)
}

/// Of candidates with their loads, and whether each holds what is needed: a holder that has no more than twice as much to
/// do as the least busy one, and one call a thread; else the least busy one. So what many calls need doesn't bring all of
/// them to one process.
pub(super) fn choose<T: Copy>(candidates: impl Iterator<Item = (T, usize, bool)>) -> Option<T> {
    let mut holder = None;
    let loads = candidates.inspect(|(candidate, load, is_holder)| {
        if *is_holder {
            holder = Some((*candidate, *load));
        }
    });
    let (least, least_load, _) = loads.min_by_key(|(_, load, _)| *load)?;
    let near = holder.filter(|(_, load)| *load <= 2 * least_load + LOAD);
    Some(near.map_or(least, |(holder, _)| holder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_to_their_arguments_while_that_keeps_nobody_waiting() {
        let of = |loads: [usize; 3], holder: usize| {
            choose(loads.into_iter().enumerate().map(|(at, load)| (at, load * LOAD, at == holder))).unwrap()
        };
        assert_eq!(of([2, 1, 3], 9), 1, "nobody holds anything");
        assert_eq!(of([2, 1, 3], 2), 2);
        assert_eq!(of([2, 1, 4], 2), 1, "it has too much to do");
        assert_eq!(of([0, 1, 0], 1), 1);
        assert_eq!(of([0, 2, 0], 1), 0);
        assert_eq!(choose(std::iter::empty::<(u8, usize, bool)>()), None);
    }
}
