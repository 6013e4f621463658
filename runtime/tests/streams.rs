//! Streams: consumed while they run, held back, failed, dropped, shared.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::{LONG, eventually, within_time};
use rayline::prelude::*;
use rayline::{ErrorKind, block_on};
use std::num::ParseIntError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[task]
fn count(n: u64) -> impl Iterator<Item = u64> + Send {
    0..n
}

#[task]
fn parse(words: Vec<String>) -> impl Iterator<Item = Result<i64, ParseIntError>> + Send {
    words.into_iter().map(|word| word.parse())
}

#[task]
fn panics_at(n: u64) -> impl Iterator<Item = u64> + Send {
    (0..).inspect(move |i| assert_ne!(*i, n, "reached on purpose"))
}

#[task]
fn panics_before(n: u64) -> impl Iterator<Item = u64> + Send {
    assert_eq!(n, 0, "never begins");
    0..n
}

#[task]
fn slow(ms: u64) -> impl Iterator<Item = u64> + Send {
    (0..3).inspect(move |_| std::thread::sleep(Duration::from_millis(ms)))
}

#[task]
fn double(x: &u64) -> u64 {
    x * 2
}

#[task]
fn fails(x: u64) -> u64 {
    panic!("{x} on purpose")
}

/// Consumes a stream inside a task.
#[task]
fn sum(n: u64) -> Result<u64, Error> {
    let mut stream = count::remote(n);
    let mut sum = 0;
    while let Some(item) = stream.next_timeout(LONG)? {
        sum += item.take()?;
    }
    Ok(sum)
}

#[task]
async fn sum_async(n: u64) -> Result<u64, Error> {
    let mut stream = count::remote(n);
    let mut sum = 0;
    while let Some(item) = stream.next_async().await {
        sum += item.await?;
    }
    Ok(sum)
}

/// The items until one fails, and that failure.
fn drain<T: Data>(mut stream: ObjectStream<T>) -> (Vec<T>, Option<Error>) {
    let mut items = Vec::new();
    while let Some(item) = stream.next_timeout(LONG).unwrap() {
        match item.take() {
            Ok(value) => items.push(value),
            Err(error) => {
                assert!(stream.next_timeout(LONG).unwrap().is_none(), "the failure is the last");
                return (items, Some(error));
            }
        }
    }
    (items, None)
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn the_last_reference_says_how_the_task_failed() {
    assert_eq!(drain(parse::remote(words("1 2 3"))).0, [1, 2, 3]);
    let (items, error) = drain(parse::remote(words("1 2 x 4")));
    let error = error.unwrap();
    assert_eq!(items, [1, 2]);
    assert!(matches!(error.kind(), ErrorKind::Stream) && error.downcast_ref::<ParseIntError>().is_some());
    assert_eq!(
        error.to_string(),
        "streams::parse ended its stream early: streams::parse failed: invalid digit found in string"
    );
    let (items, error) = drain(panics_at::remote(70));
    assert_eq!(items, (0..70).collect::<Vec<_>>());
    let error = error.unwrap();
    assert!(error.is_panic() && error.to_string().contains("reached on purpose"), "{error}");
    let (items, error) = drain(panics_before::remote(1));
    assert!(items.is_empty() && error.unwrap().to_string().contains("never begins"));
    let (items, error) = drain(count::remote(fails::remote(3)));
    assert!(items.is_empty() && error.unwrap().to_string().contains("3 on purpose"));
}

/// Items made, iterators that live.
static MADE: AtomicUsize = AtomicUsize::new(0);
static ITERATORS: AtomicUsize = AtomicUsize::new(0);

struct Counted(u64);

impl Iterator for Counted {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        MADE.fetch_add(1, Ordering::SeqCst);
        self.0 += 1;
        Some(self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ITERATORS.fetch_sub(1, Ordering::SeqCst);
    }
}

#[task(buffer = 4)]
fn endless() -> impl Iterator<Item = u64> + Send {
    ITERATORS.fetch_add(1, Ordering::SeqCst);
    Counted(0)
}

#[test]
fn a_stream_runs_ahead_by_its_buffer_and_ends_when_dropped() {
    let mut stream = endless::remote();
    for taken in 1..=100 {
        let item = stream.next_timeout(LONG).unwrap().unwrap();
        assert_eq!(item.take().unwrap(), taken);
        if taken % 20 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let made = MADE.load(Ordering::SeqCst) as u64;
        assert!(made <= taken + 5, "made {made} when {taken} were taken");
    }
    eventually("it rests", || {
        let made = MADE.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        made == MADE.load(Ordering::SeqCst)
    });
    drop(stream);
    eventually("a dropped stream drops its iterator", || ITERATORS.load(Ordering::SeqCst) == 0);
    // Dropped while it runs, or before it began.
    for _ in 0..100 {
        drop(endless::remote());
    }
    eventually("all of them do", || ITERATORS.load(Ordering::SeqCst) == 0);
}

#[test]
fn waiting_for_an_item_ends_with_the_time() {
    let mut stream = slow::remote(300);
    let error = stream.next_timeout(Duration::from_millis(5)).unwrap_err();
    assert!(error.is_timeout() && error.to_string().starts_with("streams::slow isn't done after"), "{error}");
    assert_eq!(stream.next_timeout(LONG).unwrap().unwrap().get().unwrap(), 0, "nothing is lost by that");
    assert_eq!(stream.next_timeout(Duration::MAX).unwrap().unwrap().get().unwrap(), 1);
}

#[test]
fn items_are_objects_like_others() {
    let mut doubled = Vec::new();
    let mut stream = count::remote(200);
    while let Some(item) = stream.next_timeout(LONG).unwrap() {
        doubled.push((double::remote(&item), double::remote(double::remote(&item)), item));
    }
    for (i, (twice, four_times, item)) in doubled.iter().enumerate() {
        let i = i as u64;
        assert_eq!(item.get_timeout(LONG).unwrap(), i);
        assert_eq!((twice.get_timeout(LONG).unwrap(), four_times.get_timeout(LONG).unwrap()), (2 * i, 4 * i));
    }
}

#[test]
fn tasks_consume_streams() {
    let sums: Vec<_> = (0..20).map(|n| (sum::remote(n * 10), sum_async::remote(n * 10))).collect();
    for (n, (blocking, asynchronous)) in sums.iter().enumerate() {
        let n = n as u64 * 10;
        let expected = n * n.saturating_sub(1) / 2;
        assert_eq!(blocking.get_timeout(LONG).unwrap(), expected);
        assert_eq!(asynchronous.get_timeout(LONG).unwrap(), expected);
    }
}

#[test]
fn many_streams_run_side_by_side() {
    let total: u64 = within_time(|| {
        let mut streams: Vec<_> = (0..200).map(|_| count::remote(100)).collect();
        let mut total = 0;
        for _ in 0..100 {
            total += streams.iter_mut().map(|stream| stream.next().unwrap().take().unwrap()).sum::<u64>();
        }
        assert!(streams.iter_mut().all(|stream| stream.next().is_none()));
        total
    });
    assert_eq!(total, 200 * 4950);
}

#[test]
fn a_stream_is_awaited() {
    let total = within_time(|| {
        block_on(async {
            let mut stream = count::remote(1000);
            let mut total = 0;
            while let Some(item) = stream.next_async().await {
                total += item.await.unwrap();
            }
            total
        })
    });
    assert_eq!(total, 499_500);
}
