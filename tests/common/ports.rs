//! Ports for processes that bind them later.
//!
//! The ports are below the system's ephemeral ports. The system may give an ephemeral port to any outgoing connection between
//! the check and the bind, even to the very connection that waits for a listener there.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// Above the ports of well-known services.
const LOWEST: u16 = 10_000;
/// The first ephemeral port on Linux by default.
const EPHEMERAL: u16 = 32_768;

/// A free address on the loopback, a different one at each call.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        // Processes that run side by side start in different places.
        let start = RandomState::new().hash_one(std::process::id());
        AtomicU16::new(u16::try_from(start % u64::from(u16::MAX)).expect("a remainder"))
    });
    let span = first_ephemeral() - LOWEST;
    for _ in 0..span {
        let port = LOWEST + NEXT.fetch_add(1, Ordering::Relaxed) % span;
        if let Ok(probe) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return probe.local_addr().expect("the probe is bound");
        }
    }
    panic!("no port from {LOWEST} to {} is free", LOWEST + span);
}

fn first_ephemeral() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next().and_then(|first| first.parse().ok());
    first.filter(|first| *first > LOWEST).unwrap_or(EPHEMERAL)
}
