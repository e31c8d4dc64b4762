//! Wakes every task that waits for the same thing, without a lock that they contend for when they wait.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use atomic_waker::AtomicWaker;
use slab::Slab;

/// Tasks that wait for the same thing.
#[derive(Debug, Default)]
pub struct Wakers {
    waiting: Mutex<Slab<Arc<AtomicWaker>>>,
}

/// One task's place among [`Wakers`]. To be given back with [`Wakers::leave`].
#[derive(Debug)]
pub struct WakerSlot {
    waker: Arc<AtomicWaker>,
    key: usize,
}

// === impl Wakers ===

impl Wakers {
    /// A place for one more task.
    #[must_use]
    pub fn join(&self) -> WakerSlot {
        let waker = Arc::new(AtomicWaker::new());
        let key = self.lock().insert(Arc::clone(&waker));
        WakerSlot { waker, key }
    }

    /// Takes the place back: nothing wakes the task any more.
    pub fn leave(&self, slot: &WakerSlot) {
        let mut waiting = self.lock();
        waiting.try_remove(slot.key);
        if waiting.is_empty() {
            waiting.shrink_to_fit();
        }
    }

    /// Whether nobody has a place.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Wakes every task that registered since it was last woken.
    pub fn wake_all(&self) {
        // Woken outside the lock: what a waker does is not ours to know.
        let wakers: Vec<Waker> = self.lock().iter().filter_map(|(_, waker)| waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<AtomicWaker>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl WakerSlot ===

impl WakerSlot {
    /// Has the task woken by the next [`Wakers::wake_all`]. What it waits for is to be looked at after this, not before.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}
