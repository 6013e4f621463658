//! Waits that may be given up: with a deadline, by a future, on several cells at once.
//!
//! A waiter in a cell's list can't be taken out again. So a cell that anybody waits for revocably has one waiter more,
//! its hub, with a list that can be left; a table finds the hub by the cell's address.

use crate::cell::{Header, calmly};
use crate::handle::Handle;
use crate::waiter::Waiter;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::Waker;

const SHARDS: usize = 16;

/// Invariant (HUB-1): a hub is in the table from its registration until it fires; it holds one count of itself.
static HUBS: LazyLock<[Mutex<Shard>; SHARDS]> = LazyLock::new(Default::default);

/// Hubs by the address of their cell.
type Shard = HashMap<usize, Arc<Hub>>;

#[repr(C)]
struct Hub {
    waiter: Waiter,
    cell: usize,
    wakers: Mutex<Wakers>,
}

#[derive(Default)]
struct Wakers {
    fired: bool,
    next_key: u64,
    waiting: Vec<(u64, Waker)>,
}

// SAFETY: `waiter` is used as any waiter is (CELL-2), the rest is behind a lock.
unsafe impl Send for Hub {}
// SAFETY: as above.
unsafe impl Sync for Hub {}

/// A waker that is woken when a cell is done, or sooner by mistake; leaves when dropped.
pub(crate) struct Subscription {
    hub: Arc<Hub>,
    key: u64,
}

/// Asks for `waker` to be woken when the cell is done; `None` where it is.
pub(crate) fn subscribe<O>(handle: &Handle<O>, waker: &Waker) -> Option<Subscription> {
    loop {
        let hub = hub_of(handle)?;
        // Cloning, waking and dropping wakers is the user's code: never under a lock.
        let waker = waker.clone();
        let mut wakers = lock(&hub.wakers);
        if wakers.fired {
            // It belonged to an earlier cell at this address, or to this one, which is done then.
            drop(wakers);
            std::thread::yield_now();
            continue;
        }
        let key = wakers.next_key;
        wakers.next_key += 1;
        wakers.waiting.push((key, waker));
        drop(wakers);
        return Some(Subscription { hub, key });
    }
}

impl Wakers {
    fn of(&mut self, key: u64) -> Option<&mut Waker> {
        self.waiting.iter_mut().find(|(known, _)| *known == key).map(|(_, waker)| waker)
    }
}

impl Subscription {
    /// Replaces the waker; `false` where it was woken already.
    pub(crate) fn update(&self, waker: &Waker) -> bool {
        let is_same = lock(&self.hub.wakers).of(self.key).map(|known| known.will_wake(waker));
        match is_same {
            Some(false) => {
                let mut waker = waker.clone();
                let mut wakers = lock(&self.hub.wakers);
                let waits = wakers.of(self.key).map(|known| std::mem::swap(known, &mut waker)).is_some();
                drop(wakers);
                waits
            }
            Some(true) => true,
            None => false,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut wakers = lock(&self.hub.wakers);
        let place = wakers.waiting.iter().position(|(key, _)| *key == self.key);
        let gone = place.map(|place| wakers.waiting.swap_remove(place));
        drop(wakers);
        drop(gone);
    }
}

fn hub_of<O>(handle: &Handle<O>) -> Option<Arc<Hub>> {
    if handle.is_done() {
        return None;
    }
    let cell = handle.cell().as_ptr() as usize;
    let mut hubs = shard(cell);
    if let Some(hub) = hubs.get(&cell) {
        return Some(hub.clone());
    }
    let hub = Arc::new(Hub { waiter: Waiter::new(fire), cell, wakers: Mutex::default() });
    let own = Arc::into_raw(hub.clone());
    // SAFETY: the count in `own` keeps the hub where it is until it fires.
    if unsafe { handle.header().state.register(own as *mut Waiter) } {
        hubs.insert(cell, hub.clone());
        return Some(hub);
    }
    // SAFETY: not registered, so the count is still ours.
    drop(unsafe { Arc::from_raw(own) });
    None
}

unsafe fn fire(waiter: NonNull<Waiter>) {
    // SAFETY: `Hub` begins with its waiter, and `hub_of` left one count for this.
    let hub = unsafe { Arc::from_raw(waiter.cast::<Hub>().as_ptr().cast_const()) };
    let mut hubs = shard(hub.cell);
    if hubs.get(&hub.cell).is_some_and(|known| Arc::ptr_eq(known, &hub)) {
        hubs.remove(&hub.cell);
    }
    drop(hubs);
    let waiting = {
        let mut wakers = lock(&hub.wakers);
        wakers.fired = true;
        std::mem::take(&mut wakers.waiting)
    };
    waiting.into_iter().for_each(|(_, waker)| calmly(|| waker.wake()));
}

fn shard(cell: usize) -> MutexGuard<'static, Shard> {
    lock(&HUBS[cell / size_of::<Header>() % SHARDS])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
