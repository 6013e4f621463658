//! The queues: `deque`, `outbox`, and below both `ring`: their models begin with a ring that is too small.

use crate::deque::{Deque, Steal};
use crate::outbox::Outbox;
use crate::ring::Ring;
use loom::sync::Arc;
use loom::thread;
use std::ptr::NonNull;

/// A pointer that stands for the number `n`; nobody looks through it.
fn item(n: usize) -> NonNull<usize> {
    NonNull::new((n * 8) as *mut usize).expect("numbers begin at 1")
}

fn number(item: NonNull<usize>) -> usize {
    item.as_ptr() as usize / 8
}

fn steal_all(deque: &Deque<usize>, tries: usize) -> usize {
    (0..tries).map(|_| if let Steal::Taken(item) = deque.steal() { number(item) } else { 0 }).sum()
}

/// Deque: while the owner pushes beyond the first ring and pops, and a thief steals, each item is taken once.
#[test]
fn deque_gives_each_item_once() {
    loom::model(|| {
        let deque = Arc::new(Deque::<usize>::with_capacity(2));
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || steal_all(&deque, 2))
        };
        let mut mine = 0;
        // SAFETY: this is the owner's thread.
        unsafe {
            for n in [1, 2, 4] {
                deque.push(item(n));
            }
            while let Some(item) = deque.pop_above(0) {
                mine += number(item);
            }
        }
        assert_eq!(mine + thief.join().unwrap(), 7);
        assert!(deque.is_empty());
    });
}

/// Deque: two thieves and the owner race for the last item; the owner goes on with the empty deque.
#[test]
fn deque_gives_its_last_item_to_one() {
    loom::model(|| {
        let deque = Arc::new(Deque::<usize>::with_capacity(2));
        // SAFETY: this is the owner's thread.
        unsafe { deque.push(item(1)) };
        let thieves: [_; 2] = std::array::from_fn(|_| {
            let deque = deque.clone();
            thread::spawn(move || steal_all(&deque, 1))
        });
        // SAFETY: this is the owner's thread.
        let mut mine = unsafe { deque.pop_above(0) }.map_or(0, number);
        // SAFETY: as above.
        mine += unsafe {
            deque.push(item(2));
            deque.pop_above(0).map_or(0, number)
        };
        let stolen: usize = thieves.into_iter().map(|thief| thief.join().unwrap()).sum();
        assert_eq!(mine + stolen, 3);
        assert!(deque.is_empty());
    });
}

/// Ring: a position beyond the capacity wraps around.
#[test]
fn ring_wraps_around() {
    loom::model(|| {
        let ring = Ring::<usize>::with_capacity(2);
        ring.set(2, item(1).as_ptr());
        assert_eq!((ring.capacity(), ring.get(0)), (2, item(1).as_ptr()));
    });
}

fn take_run(outbox: &Outbox<usize>) -> usize {
    let mut run = [std::ptr::null_mut(); 4];
    let taken = outbox.steal(&mut run).unwrap_or(0);
    run[..taken].iter().map(|&item| number(NonNull::new(item).expect("an item"))).sum()
}

/// Outbox: while its producer pushes beyond the first ring, two consumers take runs, and each item goes to one.
#[test]
fn outbox_gives_each_item_once() {
    loom::model(|| {
        let outbox = Arc::new(Outbox::<usize>::with_capacity(2));
        let consumers: [_; 2] = std::array::from_fn(|_| {
            let outbox = outbox.clone();
            thread::spawn(move || take_run(&outbox))
        });
        for n in [1, 2, 4] {
            // SAFETY: this is the producer's thread.
            unsafe { outbox.push(item(n)) };
        }
        let mut taken: usize = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
        while !outbox.is_empty() {
            taken += take_run(&outbox);
        }
        assert_eq!(taken, 7);
    });
}
