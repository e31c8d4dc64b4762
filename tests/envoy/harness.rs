//! Shared parts of the tests: waiting, the matrix of Envoys, a control plane, Envoys, upstreams and raw clients.

mod client;
mod config;
mod control;
mod envoy;
mod publisher;
mod relay;
mod requests;
mod upstream;

use std::{
    fmt::Debug,
    sync::LazyLock,
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

pub(crate) use self::{
    client::{Client, Variant},
    config::{
        CLUSTER, Config, ENDPOINTS, EXTENSION_CONFIG, LB_ENDPOINT, LISTENER, ROUTES, RUNTIME_LAYER, SCOPED_ROUTES,
        SECRET, VIRTUAL_HOST, ads, cluster, endpoint, endpoints, filter, fixed_cluster, http_listener, listener,
        router, routes, wrapped, wrapped_for,
    },
    control::{Control, GROUP},
    envoy::{Envoy, Mode, Release, Traffic, send},
    publisher::Publisher,
    relay::Relay,
    requests::Requests,
    upstream::Upstream,
};

/// Long enough for a loaded machine, and longer than the 15 s after which an Envoy gives up on a missing resource.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// Shorter than those 15 s: a slower change was not delivered, but given up.
pub(crate) const PROMPT: Duration = Duration::from_secs(10);
/// The time for which an event must not happen.
pub(crate) const A_WHILE: Duration = Duration::from_secs(1);

const PAUSE: Duration = Duration::from_millis(20);

/// The runtime of upstreams, clients and control planes.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Repeats the probe until it succeeds; a failing test prints the last reason.
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

/// Repeats the probe for a while, and fails at the first unexpected result.
#[track_caller]
pub(crate) fn stays<T: PartialEq + Debug>(what: &str, expected: &T, mut probe: impl FnMut() -> T) {
    let deadline = Instant::now() + A_WHILE;
    while Instant::now() < deadline {
        assert_eq!(probe(), *expected, "{what}");
        sleep(PAUSE);
    }
}

/// `Ok` if both are equal, otherwise a description of the difference.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn expect<T: PartialEq + Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("found {found:?}, expected {expected:?}"))
    }
}

/// Makes tests of each function, for every Envoy and every kind of stream.
macro_rules! for_every_envoy {
    ($($test:ident),+ $(,)?) => {
        matrix! { $($test)+ => {
            v1_40_ads_sotw: V1_40 AdsSotw,
            v1_40_ads_delta: V1_40 AdsDelta,
            v1_40_separate_sotw: V1_40 SeparateSotw,
            v1_40_separate_delta: V1_40 SeparateDelta,
            v1_36_ads_sotw: V1_36 AdsSotw,
            v1_36_ads_delta: V1_36 AdsDelta,
            v1_36_separate_sotw: V1_36 SeparateSotw,
            v1_36_separate_delta: V1_36 SeparateDelta,
        } }
    };
}

/// Like `for_every_envoy`, for tests that need one stream for all types.
macro_rules! for_every_envoy_on_ads {
    ($($test:ident),+ $(,)?) => {
        matrix! { $($test)+ => {
            v1_40_sotw: V1_40 AdsSotw,
            v1_40_delta: V1_40 AdsDelta,
            v1_36_sotw: V1_36 AdsSotw,
            v1_36_delta: V1_36 AdsDelta,
        } }
    };
}

/// Like `for_every_envoy`, for features of delta only.
macro_rules! for_every_envoy_on_delta_ads {
    ($($test:ident),+ $(,)?) => {
        matrix! { $($test)+ => {
            v1_40: V1_40 AdsDelta,
            v1_36: V1_36 AdsDelta,
        } }
    };
}

/// Like `for_every_envoy`, for tests without a stream.
macro_rules! for_both_releases {
    ($($test:ident),+ $(,)?) => {
        $( mod $test {
            use crate::harness::Release;
            #[test]
            fn v1_40() { super::$test(Release::V1_40); }
            #[test]
            fn v1_36() { super::$test(Release::V1_36); }
        } )+
    };
}

macro_rules! matrix {
    ($($test:ident)+ => $rows:tt) => {
        $( matrix! { @test $test $rows } )+
    };
    (@test $test:ident { $($name:ident: $release:ident $mode:ident,)+ }) => {
        mod $test {
            use crate::harness::{Mode, Release};
            $(
                #[test]
                fn $name() {
                    super::$test(Release::$release, Mode::$mode);
                }
            )+
        }
    };
}
