//! What the tests share: waiting, the matrix of Envoys, a control plane, Envoys, upstreams and raw clients.

mod client;
mod config;
mod control;
mod envoy;
mod upstream;

use std::{
    sync::LazyLock,
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

pub(crate) use self::{
    client::{Client, Variant},
    config::{
        CLUSTER, Config, ENDPOINTS, EXTENSION_CONFIG, LB_ENDPOINT, LISTENER, ROUTES, RUNTIME_LAYER, SCOPED_ROUTES,
        SECRET, VIRTUAL_HOST, ads, cluster, endpoint, endpoints, filter, http_listener, listener, router, routes,
        wrapped,
    },
    control::{Control, GROUP},
    envoy::{Envoy, Mode, Release, Traffic, send},
    upstream::Upstream,
};

/// Long enough for a loaded machine, and longer than the 15 s for which an Envoy waits for what it was not given.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// Shorter than those 15 s: what takes longer was not delivered but given up.
pub(crate) const PROMPT: Duration = Duration::from_secs(10);
/// How long something must not happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(1500);

const PAUSE: Duration = Duration::from_millis(20);

/// Where upstreams, clients and control planes run.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Asks until there is an answer; the last reason why not is what the test fails with.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, probe)
}

/// [`eventually`], with less patience.
#[track_caller]
pub(crate) fn within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match probe() {
            Ok(found) => return found,
            Err(reason) if Instant::now() > deadline => panic!("{what}: not within {patience:?}: {reason}"),
            Err(_) => sleep(PAUSE),
        }
    }
}

/// Asks for a while, and fails at the first answer that is not the expected one.
#[track_caller]
pub(crate) fn stays<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, mut probe: impl FnMut() -> T) {
    let deadline = Instant::now() + A_WHILE;
    while Instant::now() < deadline {
        assert_eq!(probe(), *expected, "{what}");
        sleep(PAUSE);
    }
}

/// `Ok` where they are equal, else why not.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("found {found:?}, expected {expected:?}"))
    }
}

/// Makes a test of each function, for every Envoy and every way of its to ask.
macro_rules! for_every_envoy {
    ($($test:ident),+ $(,)?) => {
        for_every_envoy! { @modes v1_40 V1_40 ($($test),+) }
        for_every_envoy! { @modes v1_36 V1_36 ($($test),+) }
    };
    (@modes $module:ident $release:ident $tests:tt) => {
        mod $module {
            for_every_envoy! { @tests ads_sotw $release AdsSotw $tests }
            for_every_envoy! { @tests ads_delta $release AdsDelta $tests }
            for_every_envoy! { @tests separate_sotw $release SeparateSotw $tests }
            for_every_envoy! { @tests separate_delta $release SeparateDelta $tests }
        }
    };
    (@tests $module:ident $release:ident $mode:ident ($($test:ident),+)) => {
        mod $module {
            use crate::harness::{Mode, Release};
            $(
                #[test]
                fn $test() {
                    super::super::$test(Release::$release, Mode::$mode);
                }
            )+
        }
    };
}
