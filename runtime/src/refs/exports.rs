//! What this process has put into values that went to others.

use super::id::{Name, ProcessId, RefId};
use super::link;
use crate::process::Reply;
use crate::registry::FunctionId;
use rayline_store::Region;
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

/// By number, as long as anything keeps it: an encoding, or another process.
static EXPORTS: LazyLock<Mutex<HashMap<u64, Weak<Exported>>>> = LazyLock::new(Mutex::default);

/// Something that others may ask for.
pub(super) struct Exported {
    number: u64,
    pub(super) what: What,
}

/// What it is.
pub(super) enum What {
    Object(Box<dyn Object>),
    Actor(Box<dyn Actor>),
}

/// A reference to a value of any type.
pub(super) trait Object: Any + Send + Sync {
    /// Answers with the value once it is there, or with its failure.
    fn give(&self, reply: Reply);
}

/// A reference to an actor of any type, in this process or known to it.
pub(super) trait Actor: Any + Send + Sync {
    /// Sends an encoded call to its mailbox.
    fn call(&self, function: FunctionId, args: Region, reply: Reply);
    /// Ends it, or this life of it.
    fn kill(&self, restart: bool);
}

fn lock() -> MutexGuard<'static, HashMap<u64, Weak<Exported>>> {
    EXPORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exported {
    /// The name of something new.
    pub(super) fn name(what: What) -> Name {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let exported = Arc::new(Self { number, what });
        lock().insert(number, Arc::downgrade(&exported));
        Name { id: RefId { home: link::this_process(), number }, keep: Some(exported) }
    }

    /// What was exported under that name, if this process has done so and anything still keeps it.
    pub(super) fn find(id: RefId) -> Option<Arc<Self>> {
        lock().get(&id.number).filter(|_| id.home == link::this_process())?.upgrade()
    }

    /// The reference itself, where it is of that type.
    pub(super) fn downcast<T: Any>(&self) -> Option<&T> {
        match &self.what {
            What::Object(object) => (&**object as &dyn Any).downcast_ref(),
            What::Actor(actor) => (&**actor as &dyn Any).downcast_ref(),
        }
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        lock().remove(&self.number);
    }
}

/// How many references this process has exported.
pub fn exported_refs() -> usize {
    lock().len()
}

/// Whether it is this process.
pub(super) fn is_here(process: ProcessId) -> bool {
    process == link::this_process()
}
