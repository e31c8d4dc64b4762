//! Wakes every task that waits for the same thing. Waiting takes no lock that the tasks share.

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

/// The slot of one task in [`Wakers`]. Ends with [`Wakers::leave`].
#[derive(Debug)]
pub struct WakerSlot {
    waker: Arc<AtomicWaker>,
    key: usize,
}

// === impl Wakers ===

impl Wakers {
    /// A slot for one more task.
    #[must_use]
    pub fn join(&self) -> WakerSlot {
        let waker = Arc::new(AtomicWaker::new());
        let key = self.lock().insert(Arc::clone(&waker));
        WakerSlot { waker, key }
    }

    /// Removes the slot: its task is woken no more.
    pub fn leave(&self, slot: &WakerSlot) {
        let mut waiting = self.lock();
        waiting.try_remove(slot.key);
        if waiting.is_empty() {
            waiting.shrink_to_fit();
        }
    }

    /// Returns true if there are no slots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Wakes every task that registered since it was last woken.
    pub fn wake_all(&self) {
        // Wakers run outside the lock, since they may call anything.
        let wakers: Vec<Waker> = self.lock().iter().filter_map(|(_, waker)| waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<AtomicWaker>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl WakerSlot ===

impl WakerSlot {
    /// Registers the task for the next [`Wakers::wake_all`]. The caller checks its condition after this call.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}
