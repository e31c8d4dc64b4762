//! A relay to a control plane 20 ms away, which can cut and restore the connection.

use std::{net::SocketAddr, time::Duration};

use super::{Control, RUNTIME, eventually};
use crate::{delay::DelayProxy, ports::free_address};

/// Half of the round trip.
const ONE_WAY: Duration = Duration::from_millis(10);

/// Relays until it is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    target: SocketAddr,
    /// `None` while the connection is cut.
    proxy: Option<DelayProxy>,
}

impl Relay {
    pub(crate) fn to(control: &Control) -> Self {
        let mut relay = Self {
            address: free_address(),
            target: control.xds,
            proxy: None,
        };
        relay.restore();
        relay
    }

    /// Closes all connections, and refuses new ones.
    pub(crate) fn cut(&mut self) {
        self.proxy = None;
    }

    /// Accepts connections again.
    pub(crate) fn restore(&mut self) {
        self.proxy = Some(eventually("the relay listens", || {
            let started = RUNTIME.block_on(DelayProxy::start(self.address, self.target, ONE_WAY));
            started.map_err(|error| error.to_string())
        }));
    }
}
