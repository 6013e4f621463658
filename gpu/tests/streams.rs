//! Streams, events and graphs.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::{Bench, is_process, passes_in_process};
use rayline_gpu::{Event, GpuError, Graph, Stream};

/// Each piece of work waits so long before it begins.
const SLOW: &[(&str, &str)] = &[("RAYLINE_FAKE_CUDA", "lag_us=30000")];
/// The same, so long that the host has surely gone on.
const VERY_SLOW: &[(&str, &str)] = &[("RAYLINE_FAKE_CUDA", "lag_us=200000")];

#[test]
fn work_is_done_later_and_in_its_order() {
    const NAME: &str = "work_is_done_later_and_in_its_order";
    if !is_process(NAME) {
        return passes_in_process(NAME, VERY_SLOW);
    }
    let Bench { context, stream, lease, .. } = Bench::new();
    let source = lease.upload(&stream, &[5u32; 10]).unwrap();
    let mut target = lease.allocate(&stream, 10).unwrap();
    let [before, after] = [(); 2].map(|()| Event::new(&context).unwrap());
    stream.record(&before).unwrap();
    stream.zero(&mut target).unwrap();
    stream.copy(&source, &mut target).unwrap();
    stream.record(&after).unwrap();
    assert!(!stream.is_idle().unwrap() && !after.is_reached().unwrap());
    after.synchronize().unwrap();
    assert!(after.is_reached().unwrap());
    stream.synchronize().unwrap();
    assert!(stream.is_idle().unwrap());
    let elapsed = before.elapsed_until(&after).unwrap();
    assert!(elapsed >= Duration::from_millis(590), "{elapsed:?} for three pieces of 200 ms");
    assert_eq!(stream.to_vec(&target).unwrap(), [5; 10]);
}

#[test]
fn a_stream_waits_for_an_event_of_another() {
    const NAME: &str = "a_stream_waits_for_an_event_of_another";
    if !is_process(NAME) {
        return passes_in_process(NAME, SLOW);
    }
    let Bench { context, stream, lease, .. } = Bench::new();
    let other = Stream::new(&context).unwrap();
    let (first, second) = (lease.upload(&stream, &[1u32]).unwrap(), lease.upload(&stream, &[2u32]).unwrap());
    let mut target = lease.allocate(&stream, 1).unwrap();
    for _ in 0..3 {
        stream.copy(&first, &mut target).unwrap();
    }
    stream.copy(&second, &mut target).unwrap();
    // Without its wait, the other stream would be done with its one piece of work before the third of this.
    target.move_to(&other).unwrap();
    assert_eq!(other.to_vec(&target).unwrap(), [2]);
    let never = Event::new(&context).unwrap();
    other.wait(&never).unwrap();
    assert!(never.is_reached().unwrap(), "an event that was never recorded holds nobody up");
}

#[test]
fn a_graph_does_its_work_each_time_and_keeps_what_it_uses() {
    let Bench { stream, lease, .. } = Bench::new();
    let (source, mut target) = (lease.upload(&stream, &[1u32, 2]).unwrap(), lease.zeros(&stream, 2).unwrap());
    let graph = Graph::capture(&stream, |stream| stream.copy(&source, &mut target)).unwrap();
    assert_eq!(stream.to_vec(&target).unwrap(), [0, 0], "noting work does none");
    drop(source);
    stream.synchronize().unwrap();
    assert_eq!(lease.used_bytes(), 16, "the graph keeps the source");
    for _ in 0..2 {
        stream.zero(&mut target).unwrap();
        graph.replay().unwrap();
        assert_eq!(stream.to_vec(&target).unwrap(), [1, 2]);
    }
    drop(graph);
    assert_eq!(lease.used_bytes(), 8);
}

#[test]
fn nothing_is_waited_for_and_no_memory_made_while_capturing() {
    let Bench { context, stream, lease, .. } = Bench::new();
    let mut spare = Some(lease.zeros::<u8>(&stream, 100).unwrap());
    let mut kept = lease.zeros::<u8>(&stream, 100).unwrap();
    let graph = Graph::capture(&stream, |stream| {
        let event = Event::new(&context)?;
        let refused = [
            stream.synchronize(),
            stream.is_idle().map(drop),
            stream.record(&event),
            stream.wait(&event),
            stream.upload(&[0; 100], &mut kept),
            stream.to_vec(&kept).map(drop),
            lease.allocate::<u8>(stream, 1).map(drop),
            Graph::capture(stream, |_| Ok(())).map(drop),
        ];
        for refusal in refused {
            assert!(matches!(refusal, Err(GpuError::Capturing)), "{refusal:?}");
        }
        // What is dropped here is given back afterwards.
        spare.take();
        stream.zero(&mut kept)
    });
    graph.unwrap().replay().unwrap();
    stream.synchronize().unwrap();
    assert_eq!(lease.used_bytes(), 100);
}

#[test]
fn a_capture_that_fails_leaves_the_stream_as_it_was() {
    let Bench { stream, lease, .. } = Bench::new();
    let mut buffer = lease.zeros::<u8>(&stream, 4).unwrap();
    let error = Graph::capture(&stream, |stream| stream.copy(&lease.zeros(stream, 4)?, &mut buffer)).unwrap_err();
    assert!(matches!(error, GpuError::Capturing), "{error}");
    let panicked = catch_unwind(AssertUnwindSafe(|| Graph::capture(&stream, |_| panic!("on purpose")).map(drop)));
    assert!(panicked.is_err());
    stream.upload(&[1, 2, 3, 4], &mut buffer).unwrap();
    assert_eq!(stream.to_vec(&buffer).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_graph_is_not_replayed_with_a_buffer_that_has_moved() {
    let Bench { context, stream, lease, .. } = Bench::new();
    let mut buffer = lease.zeros::<u8>(&stream, 4).unwrap();
    let graph = Graph::capture(&stream, |stream| stream.zero(&mut buffer)).unwrap();
    let other = Stream::new(&context).unwrap();
    buffer.move_to(&other).unwrap();
    assert!(matches!(graph.replay(), Err(GpuError::OtherStream)));
    buffer.move_to(&stream).unwrap();
    graph.replay().unwrap();
    stream.synchronize().unwrap();
}
