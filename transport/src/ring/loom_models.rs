//! Every interleaving of small programs with the words of a ring. Where somebody sleeps for ever, loom says so.

use super::attendance::Attendance;
use super::control::Control;
use super::cursor::{ALIGN, Reader, Writer};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Records without bytes, so that a slot is a record.
const SLOTS: usize = 2;
const CAPACITY: u64 = SLOTS as u64 * ALIGN;

struct Ring {
    control: Control,
    slots: [UnsafeCell<u64>; SLOTS],
}

impl Ring {
    fn new() -> Arc<Self> {
        Arc::new(Self { control: Control::default(), slots: std::array::from_fn(|_| UnsafeCell::new(0)) })
    }

    fn slot(&self, position: u64) -> &UnsafeCell<u64> {
        &self.slots[(position / ALIGN) as usize % SLOTS]
    }

    /// Sleeps until there is room, as `Sender::send` does.
    fn send(&self, writer: &mut Writer, value: u64) {
        let fits = || writer.fits(&self.control, ALIGN).expect("both ends are honest").then_some(());
        self.control.room.0.sleep_until(None, fits);
        // SAFETY: loom fails the model where the reader still reads here (RING-1).
        self.slot(writer.position()).with_mut(|slot| unsafe { *slot = value });
        writer.advance(ALIGN);
    }

    fn flush(&self, writer: &mut Writer) {
        if writer.publish(&self.control) {
            self.control.news.0.ring();
        }
    }

    fn receive(&self, reader: &mut Reader, attendance: &Attendance) -> Vec<u64> {
        reader.update(&self.control).expect("both ends are honest");
        let mut values = vec![];
        while reader.available() > 0 {
            // SAFETY: loom fails the model where the writer still writes here (RING-2).
            values.push(self.slot(reader.position()).with(|slot| unsafe { *slot }));
            reader.advance(ALIGN);
            attendance.set_read(reader.position());
        }
        if reader.release(&self.control) {
            self.control.room.0.ring();
        }
        values
    }

    /// Sleeps as `Sleeper::sleep` does; whether there is news.
    fn sleep(&self, attendance: &Attendance) -> bool {
        let look = || {
            let is_closed = self.control.is_closed();
            let is_ready = attendance.has_news_for_sleepers(&self.control);
            (is_ready || is_closed).then_some(is_ready)
        };
        self.control.news.0.sleep_until(None, look) == Some(true)
    }
}

/// RING-1, RING-2: nobody reads what is being written, and all arrives in order; both ends sleep and are woken.
#[test]
fn records_arrive_in_order_through_a_full_ring() {
    loom::model(|| {
        let ring = Ring::new();
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let mut writer = Writer::new(CAPACITY);
            for value in 1..=3 {
                theirs.send(&mut writer, value);
                theirs.flush(&mut writer);
            }
        });
        let (mut reader, attendance, mut values) = (Reader::new(CAPACITY), Attendance::default(), vec![]);
        while values.len() < 3 {
            assert!(ring.sleep(&attendance));
            values.extend(ring.receive(&mut reader, &attendance));
        }
        assert_eq!(values, [1, 2, 3]);
        sender.join().unwrap();
    });
}

/// RING-3: one flush, one sleeper, no ring lost.
#[test]
fn a_flush_wakes_a_sleeper() {
    loom::model(|| {
        let ring = Ring::new();
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let mut writer = Writer::new(CAPACITY);
            theirs.send(&mut writer, 1);
            theirs.flush(&mut writer);
        });
        assert!(ring.sleep(&Attendance::default()));
        sender.join().unwrap();
    });
}

/// RING-3 with two who sleep on one bell: both wake.
#[test]
fn a_flush_wakes_all_sleepers() {
    loom::model(|| {
        let ring = Ring::new();
        let attendance = Arc::new(Attendance::default());
        let (other, same) = (ring.clone(), attendance.clone());
        let sleeper = thread::spawn(move || assert!(other.sleep(&same)));
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let mut writer = Writer::new(CAPACITY);
            theirs.send(&mut writer, 1);
            theirs.flush(&mut writer);
        });
        assert!(ring.sleep(&attendance));
        sleeper.join().unwrap();
        sender.join().unwrap();
    });
}

/// RING-4: a receiver polls once and steps down; what it missed wakes who stands by.
#[test]
fn what_a_poller_leaves_wakes_who_stands_by() {
    loom::model(|| {
        let ring = Ring::new();
        let attendance = Arc::new(Attendance::default());
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let mut writer = Writer::new(CAPACITY);
            theirs.send(&mut writer, 1);
            theirs.flush(&mut writer);
        });
        let (other, same) = (ring.clone(), attendance.clone());
        let standby = thread::spawn(move || other.sleep(&same));
        attendance.attend(&ring.control);
        let polled = ring.receive(&mut Reader::new(CAPACITY), &attendance);
        attendance.leave(&ring.control);
        if !polled.is_empty() {
            ring.control.close();
        }
        let is_woken_by_news = standby.join().unwrap();
        assert!(is_woken_by_news || !polled.is_empty());
        sender.join().unwrap();
    });
}

/// RING-5: the end wakes whoever sleeps, a receiver and a sender alike, and though somebody attends.
#[test]
fn the_end_wakes_everybody() {
    loom::model(|| {
        let ring = Ring::new();
        let attendance = Arc::new(Attendance::default());
        attendance.attend(&ring.control);
        let (other, same) = (ring.clone(), attendance.clone());
        let sleeper = thread::spawn(move || assert!(!other.sleep(&same)));
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            theirs.control.room.0.sleep_until(None, || theirs.control.is_closed().then_some(()));
        });
        ring.control.close();
        sleeper.join().unwrap();
        sender.join().unwrap();
    });
}

/// RING-5: who sees the ring closed sees what was published before.
#[test]
fn the_end_comes_after_the_last_record() {
    loom::model(|| {
        let ring = Ring::new();
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let mut writer = Writer::new(CAPACITY);
            theirs.send(&mut writer, 1);
            theirs.flush(&mut writer);
            theirs.control.close();
        });
        let attendance = Attendance::default();
        if ring.control.is_closed() {
            assert!(attendance.has_news(&ring.control));
        }
        sender.join().unwrap();
    });
}
