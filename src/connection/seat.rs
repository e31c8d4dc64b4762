//! The seat of a connection on its port. The port may take the seat for another connection; the connection's server
//! marks the seat busy while a request is under way.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use atomic_waker::AtomicWaker;

/// The seat of one connection.
#[derive(Debug, Default)]
pub struct Seat {
    /// Requests under way. Without the count, a stream that serves a node would lose its seat to a newcomer.
    busy: AtomicUsize,
    /// Another connection has the seat, so this one must end.
    given_up: AtomicBool,
    /// The task that ends the connection.
    waker: AtomicWaker,
}

/// Marks a request as under way until it is dropped.
#[derive(Debug)]
pub struct Busy(Arc<Seat>);

// === impl Seat ===

impl Seat {
    /// Marks the start of a request.
    #[must_use]
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Returns true if a request is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Gives the seat to another connection and wakes the task that serves this one.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Returns true if another connection has the seat.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Sets the task that [`Seat::give_up`] wakes. The caller checks [`Seat::is_given_up`] afterwards.
    pub fn wakes(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Waits until another connection has the seat.
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

    /// Records that it was woken.
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
