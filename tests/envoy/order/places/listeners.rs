//! Addresses of listeners change owner.
//!
//! Observed with Envoy 1.40 and 1.36, whatever the names: within one response an Envoy applies listeners in their order. A
//! listener that takes an address must come after the one that gives it up, otherwise Envoy refuses it ("has duplicate
//! address"). Removals are applied first in any case.

use std::net::SocketAddr;

use crate::{
    harness::{Config, Mode, Release, eventually, expect, within},
    order::{
        places::{Site, answer, listener_on, near_and_far, texts},
        stage::SOON,
    },
    ports::free_address,
};

for_every_envoy_on_ads! {
    a_listener_is_renamed_on_its_address,
    a_listener_takes_the_port_that_another_one_gives_up,
    a_port_is_given_up_by_a_listener_that_warms,
    after_listeners_exchanged_their_ports_the_next_publish_arrives,
}

fn a_listener_is_renamed_on_its_address(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        let address = free_address();
        let named = |name: &str, text: &str| Config::of([listener_on(name, address, text), texts(text, text)]);
        let site = Site::start(release, mode, is_far, &named("web-1", "one"));
        eventually("the first answers", || expect(answer(address, &[])?.as_str(), "one"));
        // The new name sorts after the old one, then before it; with other routes, and with the same.
        for (name, text) in [("web-2", "two"), ("a", "three"), ("b", "three")] {
            site.arrives(&format!("the name {name}"), &named(name, text), || {
                expect(site.envoy.address(name)?, address)?;
                expect(answer(address, &[])?.as_str(), text)
            });
        }
        site.end();
    });
}

fn a_listener_takes_the_port_that_another_one_gives_up(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        for (mover, taker) in [("a", "b"), ("b", "a")] {
            for (mover_stays, taker_is_new) in [(true, true), (true, false), (false, false)] {
                let [old, new, aside] = [free_address(), free_address(), free_address()];
                let routes = Config::of([texts("mover", "mover"), texts("taker", "taker")]);
                let mut before = routes.with([listener_on(mover, old, "mover")]);
                if !taker_is_new {
                    before.set(listener_on(taker, aside, "taker"));
                }
                let mut after = routes.with([listener_on(taker, old, "taker")]);
                if mover_stays {
                    after.set(listener_on(mover, new, "mover"));
                }
                let site = Site::start(release, mode, is_far, &before);
                eventually("the first answers", || expect(answer(old, &[])?.as_str(), "mover"));
                site.arrives(&format!("{taker} in the place of {mover}"), &after, || {
                    if mover_stays {
                        expect(answer(new, &[])?.as_str(), "mover")?;
                    }
                    expect(answer(old, &[])?.as_str(), "taker")
                });
                site.end();
            }
        }
    });
}

/// The old owner gives up its port only once it is warm, so the new one may be refused: the next publish delivers it.
fn a_port_is_given_up_by_a_listener_that_warms(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        let [old, new] = [free_address(), free_address()];
        let before = Config::of([listener_on("a", old, "one"), texts("one", "one")]);
        let moved = |taker: &str| {
            let listeners = [listener_on("a", new, "two"), listener_on("b", old, taker)];
            Config::of(listeners).with([texts("two", "two"), texts(taker, taker)])
        };
        let site = Site::start(release, mode, is_far, &before);
        eventually("the first answers", || expect(answer(old, &[])?.as_str(), "one"));
        site.control.publish(&moved("taker"));
        within(SOON, "the listener moves", || expect(answer(new, &[])?.as_str(), "two"));
        site.arrives("the listener that takes its place", &moved("three"), || {
            expect(answer(old, &[])?.as_str(), "three")
        });
    });
}

/// No Envoy can exchange ports in one step; whatever the result, the next publish arrives.
fn after_listeners_exchanged_their_ports_the_next_publish_arrives(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        let [one, two, three] = [free_address(), free_address(), free_address()];
        let with = |a: SocketAddr, b: SocketAddr, text: &str| {
            let listeners = [listener_on("a", a, "a"), listener_on("b", b, "b")];
            Config::of(listeners).with([texts("a", &format!("a {text}")), texts("b", &format!("b {text}"))])
        };
        let site = Site::start(release, mode, is_far, &with(one, two, "first"));
        eventually("the first answers", || expect(answer(one, &[])?.as_str(), "a first"));
        for (a, b, text) in [(one, two, "back"), (three, one, "elsewhere")] {
            site.control
                .replace(&with(two, one, "exchanged"), &["--wait", "--timeout=2s"]);
            site.arrives(text, &with(a, b, text), || {
                expect(answer(a, &[])?, format!("a {text}"))?;
                expect(answer(b, &[])?, format!("b {text}"))
            });
            site.control.deliver(&with(one, two, "first"));
        }
    });
}
