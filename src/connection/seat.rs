//! The place of a connection on its port, as both of its sides see it: the port, which may need it for another, and who serves
//! the connection, who says whether a request is under way.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use atomic_waker::AtomicWaker;

/// One connection's place.
#[derive(Debug, Default)]
pub struct Seat {
    /// Requests under way. Without it a stream that serves a node would make room for whoever comes.
    busy: AtomicUsize,
    /// Another has the place: the connection is to end.
    given_up: AtomicBool,
    /// The task that ends it.
    waker: AtomicWaker,
}

/// A request is under way on the connection, until this is dropped.
#[derive(Debug)]
pub struct Busy(Arc<Seat>);

// === impl Seat ===

impl Seat {
    /// A request begins.
    #[must_use]
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether a request is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Gives it to another: whoever serves the connection is woken.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Whether another has it.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Wakes this task, and no longer the one before, when it is given up. Whoever asks must look afterwards whether it was
    /// given up already.
    pub fn wakes(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Waits until another has it.
    pub async fn given_up(&self) {
        let given_up = poll_fn(|cx| {
            self.wakes(cx.waker());
            if self.is_given_up() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        given_up.await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Wake},
    };

    use super::*;

    /// Whether it was woken.
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn seat_is_busy_as_long_as_any_request_is_under_way() {
        let seat = Arc::new(Seat::default());
        let (one, two) = (seat.busy(), seat.busy());
        drop(one);
        assert!(seat.is_busy());
        drop(two);
        assert!(!seat.is_busy());
    }

    #[test]
    fn whoever_waits_is_woken_when_a_seat_is_given_up() {
        let (seat, woken) = (Seat::default(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(seat.given_up());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        assert!(!woken.0.load(Ordering::Relaxed));
        seat.give_up();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
    }
}
