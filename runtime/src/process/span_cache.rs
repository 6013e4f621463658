//! What was read of other processes: each name once, as long as anything of it is here.

use super::spans::Place;
use rayline_store::{Buf, ImportError, WeakBuf};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Buffers by their names.
///
/// ```text
///  unknown --asked for--> Coming --it came--> Here --its last buffer is gone--> unknown
///                           '--it failed, for all who wait--> unknown
/// ```
/// Of those that came last some are kept, up to a number of bytes; the one that was used longest ago goes first.
pub(super) struct SpanCache {
    kept_bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<Place, Known>,
    /// At as many, those that are gone are taken out.
    clean_at: usize,
    /// The one that was used last is the last.
    kept: VecDeque<(Place, Buf<u8>)>,
    kept_bytes: usize,
}

enum Known {
    Coming(Arc<Coming>),
    Here(WeakBuf),
}

/// A read that others wait for.
#[derive(Default)]
struct Coming {
    outcome: Mutex<Option<Result<Buf<u8>, ImportError>>>,
    came: Condvar,
}

impl SpanCache {
    /// An empty one, that keeps so many bytes beyond their last use.
    pub(super) fn new(kept_bytes_max: usize) -> Self {
        Self { kept_bytes_max, state: Mutex::default() }
    }

    /// The buffer of that name, if need be from `read`. Who asks for what somebody else reads waits for that.
    ///
    /// # Errors
    /// Those of `read`, of this call or of the one that was waited for.
    pub(super) fn get(
        &self,
        place: Place,
        read: impl FnOnce() -> Result<Buf<u8>, ImportError>,
    ) -> Result<Buf<u8>, ImportError> {
        let mut state = self.lock();
        match state.known.get(&place) {
            Some(Known::Coming(coming)) => {
                let coming = coming.clone();
                drop(state);
                return coming.wait();
            }
            Some(Known::Here(weak)) => {
                if let Some(buffer) = weak.upgrade() {
                    state.touch(&place);
                    return Ok(buffer);
                }
            }
            None => {}
        }
        let coming = Arc::<Coming>::default();
        state.known.insert(place, Known::Coming(coming.clone()));
        drop(state);
        let mut reading = Reading { cache: self, place, coming, outcome: Err(ImportError::Gone) };
        reading.outcome = read();
        reading.outcome.clone()
    }

    /// A buffer of this process's own, to be found by its name while it lives: what was sent may come back.
    pub(super) fn own(&self, place: Place, buffer: &Buf<u8>) {
        let mut state = self.lock();
        state.clean();
        if let Some(weak) = buffer.downgrade() {
            state.known.insert(place, Known::Here(weak));
        }
    }

    /// No longer keeps what `buffer` is a part of: it is somebody's here, who publishes it, and goes with that.
    pub(super) fn let_go(&self, buffer: &Buf<u8>) {
        if self.kept_bytes_max == 0 {
            return;
        }
        let mut state = self.lock();
        let is_of = |kept: &Buf<u8>| kept.as_ptr_range().contains(&buffer.as_ptr());
        let Some(at) = state.kept.iter().position(|(_, kept)| is_of(kept)) else { return };
        let gone = state.kept.remove(at).map(|(_, gone)| gone);
        state.kept_bytes -= gone.as_ref().map_or(0, |gone| gone.len());
        drop(state);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// It is used again.
    fn touch(&mut self, place: &Place) {
        if let Some(at) = self.kept.iter().rposition(|(kept, _)| kept == place)
            && let Some(kept) = self.kept.remove(at)
        {
            self.kept.push_back(kept);
        }
    }

    /// Takes out those that are gone, now and then.
    fn clean(&mut self) {
        const CLEAN_AT_LEAST: usize = 64;
        if self.known.len() >= self.clean_at {
            self.known.retain(|_, known| match known {
                Known::Coming(_) => true,
                Known::Here(weak) => weak.upgrade().is_some(),
            });
            self.clean_at = (2 * self.known.len()).max(CLEAN_AT_LEAST);
        }
    }

    /// It has come: what has to go for it.
    fn add(&mut self, place: Place, buffer: &Buf<u8>, kept_bytes_max: usize) -> Vec<Buf<u8>> {
        self.clean();
        let mut gone = Vec::new();
        match buffer.downgrade() {
            Some(weak) => drop(self.known.insert(place, Known::Here(weak))),
            None => drop(self.known.remove(&place)),
        }
        if buffer.len() <= kept_bytes_max {
            self.kept.push_back((place, buffer.clone()));
            self.kept_bytes += buffer.len();
        }
        while self.kept_bytes > kept_bytes_max
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.kept_bytes -= oldest.len();
            gone.push(oldest);
        }
        gone
    }
}

impl Coming {
    fn wait(&self) -> Result<Buf<u8>, ImportError> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.came.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Who reads. Its end tells those who wait, also where it panics.
struct Reading<'a> {
    cache: &'a SpanCache,
    place: Place,
    coming: Arc<Coming>,
    outcome: Result<Buf<u8>, ImportError>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        let gone = match &self.outcome {
            Ok(buffer) => state.add(self.place, buffer, self.cache.kept_bytes_max),
            Err(_) => {
                state.known.remove(&self.place);
                Vec::new()
            }
        };
        drop(state);
        drop(gone);
        *self.coming.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.outcome.clone());
        self.coming.came.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn never() -> Result<Buf<u8>, ImportError> {
        panic!("it is here")
    }

    #[test]
    fn one_reads_and_the_others_wait() {
        let (cache, place) = (SpanCache::new(0), Place::of_test(1, 3));
        let slow = || {
            std::thread::sleep(Duration::from_millis(50));
            Ok(Buf::from(vec![1, 2, 3]))
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| cache.get(place, slow).unwrap());
            while cache.lock().known.is_empty() {
                std::thread::yield_now();
            }
            let second = cache.get(place, never).unwrap();
            assert_eq!(first.join().unwrap().as_ptr(), second.as_ptr());
        });
        assert_eq!(cache.get(place, || Err(ImportError::Gone)), Err(ImportError::Gone), "nothing is kept");
        assert!(cache.lock().known.is_empty());
    }

    #[test]
    fn what_was_used_last_is_kept() {
        let cache = SpanCache::new(250);
        let place = |key| Place::of_test(key, 100);
        let read = || Ok(Buf::from(vec![0; 100]));
        drop((cache.get(place(1), read), cache.get(place(2), read)));
        drop(cache.get(place(1), never).unwrap());
        drop(cache.get(place(3), read));
        drop((cache.get(place(1), never).unwrap(), cache.get(place(3), never).unwrap()));
        assert_eq!(cache.get(place(2), || Err(ImportError::Gone)), Err(ImportError::Gone));
        let large = cache.get(place(4), || Ok(Buf::from(vec![0; 300]))).unwrap();
        assert_eq!(cache.get(place(4), never).unwrap().as_ptr(), large.as_ptr());
        assert_eq!(cache.lock().kept_bytes, 200);
        let first = cache.get(place(1), never).unwrap();
        cache.let_go(&first.slice(50..60));
        let state = cache.lock();
        assert_eq!((state.kept_bytes, state.kept.len()), (100, 1));
    }
}
