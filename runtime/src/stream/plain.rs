//! A stream on the fast path: it has a thread while it makes items, and nothing while it rests.

use super::channel::{Channel, EndGuard, Next, item};
use super::{Items, ObjectStream, StreamTask};
use crate::arg::Slots;
use crate::data::Data;
use crate::error::Error;
use crate::runtime;
use crate::task::Unwatched;
use rayline_exec::Function;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) fn submit<T: StreamTask, S: Slots<Args = T::Args>>(slots: S, buffer: u32) -> ObjectStream<T::Item> {
    let channel = Channel::shared(T::NAME, buffer);
    let guard = EndGuard(channel.clone());
    drop(runtime::pool().submit(slots, Begin::<T> { guard, task: PhantomData }));
    channel.stream()
}

/// Makes the iterator, once the arguments are there, and begins with it.
struct Begin<T: StreamTask> {
    guard: EndGuard<T::Item>,
    task: PhantomData<fn() -> T>,
}

impl<T: StreamTask, S: Slots<Args = T::Args>> Function<S> for Begin<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = T::NAME;

    fn call(self, slots: S) -> Unwatched {
        let args = slots.into_args();
        match catch_unwind(AssertUnwindSafe(|| T::run(args))) {
            Ok(Ok(items)) => produce::<T::Item>(self.guard, items),
            Ok(Err(error)) => self.guard.fail(error),
            Err(payload) => self.guard.fail(Error::panicked(T::NAME, 1, &*payload)),
        }
        Unwatched
    }
}

/// Goes on with an iterator that rested.
struct Produce<T: Data> {
    guard: EndGuard<T>,
    items: Items<T>,
}

impl<T: Data> Function<()> for Produce<T> {
    type Outcome = Unwatched;
    const NAME: &'static str = "stream";

    fn call(self, (): ()) -> Unwatched {
        if self.guard.0.is_wanted() {
            produce(self.guard, self.items);
        }
        Unwatched
    }
}

fn produce<T: Data>(guard: EndGuard<T>, mut items: Items<T>) {
    let channel = guard.0.clone();
    loop {
        match catch_unwind(AssertUnwindSafe(|| items.next())) {
            Ok(Some(Ok(value))) => match channel.add(item(value)) {
                Next::GoOn => {}
                Next::Stop => return,
                Next::Rest => {
                    return channel.rest(Box::new(|| drop(runtime::pool().submit((), Produce { guard, items }))));
                }
            },
            Ok(Some(Err(error))) => return guard.fail(error),
            Ok(None) => return guard.end(),
            Err(payload) => return guard.fail(Error::panicked(channel.name, 1, &*payload)),
        }
    }
}
