//! A run of the model: one Envoy, one session, the network between them, and the publishes.
//!
//! Time is in milliseconds, and only this file advances it. A fault ends the run with its log.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    super::fixture::*,
    checks::Checks,
    client::{Client, Request},
    link,
    link::ControlPlane,
    schedule::{Act, CLUSTERS, Plan, Schedule},
};
use crate::protocol::{Outcome, Response, Variant};

/// The most events of one stretch of a run; with more, the session counts as sending for ever.
const EVENTS: usize = 5_000;

/// A time longer than any fetch, warming, drain or timeout of the order, in milliseconds.
const REST: u64 = 60_000;

pub(super) struct World {
    variant: Variant,
    stream: Stream,
    streams: u32,
    start: Instant,
    now: u64,
    client: Client,
    checks: Checks,
    network: u64,
    up: VecDeque<(u64, Request)>,
    down: VecDeque<(u64, Response)>,
    plan: Plan,
    before: Plan,
    log: Vec<String>,
}

/// Runs a schedule. The error is the fault and the log up to it.
pub(super) fn run(variant: Variant, schedule: Schedule) -> Result<(), String> {
    let mut world = World::new(variant, &schedule);
    let result = world.go(schedule);
    result.map_err(|fault| format!("{variant:?}: {fault}\n{}", world.log.join("\n")))
}

// === impl World ===

impl World {
    fn new(variant: Variant, schedule: &Schedule) -> Self {
        let stream = link::connect(variant);
        Self {
            variant,
            start: stream.now,
            stream,
            streams: 0,
            now: 0,
            client: Client::new(variant, schedule.pace.clone()),
            checks: Checks::new(variant, &schedule.pace),
            network: schedule.pace.network,
            up: VecDeque::new(),
            down: VecDeque::new(),
            plan: Plan::default(),
            before: Plan::default(),
            log: Vec::new(),
        }
    }

    fn go(&mut self, schedule: Schedule) -> Result<(), String> {
        self.publish();
        self.client.advance(0);
        self.ask(0);
        for step in schedule.steps {
            self.run_until(self.now + step.after)?;
            self.act(step.act);
        }
        self.run_until(self.now + REST)?;
        self.converge()
    }

    // === events ===

    fn act(&mut self, act: Act) {
        self.note(&format!("{act:?}"));
        match act {
            Act::Publish(edits) => {
                self.before = self.plan.clone();
                self.plan.edit(&edits);
                self.publish();
            }
            Act::TakeBack => {
                self.plan = self.plan.taken_back(&mut self.before);
                self.publish();
            }
            Act::Probe(at) => {
                let (kind, name, content) = self.plan.probe(at);
                self.checks.expect(&self.client, kind, name, content, self.now);
                self.publish();
            }
            Act::Reconnect(control_plane, edits, first) => {
                self.before = self.plan.clone();
                self.plan.edit(&edits);
                self.reconnect(control_plane, !edits.is_empty(), first);
            }
        }
    }

    fn publish(&mut self) {
        self.stream.publish(&self.plan.config(self.variant));
        self.checks.on_publish(&self.stream);
        self.serve();
    }

    fn reconnect(&mut self, control_plane: ControlPlane, has_news: bool, first: usize) {
        self.streams += 1;
        if has_news {
            self.stream.publish(&self.plan.config(self.variant));
        }
        self.stream = link::reconnect(&self.stream, self.variant, control_plane, self.streams);
        self.up.clear();
        self.down.clear();
        self.client.cut_off();
        self.checks.on_cut_off(control_plane, &self.client);
        self.checks.on_publish(&self.stream);
        self.client.advance(self.now);
        self.ask(first);
    }

    // === time ===

    fn run_until(&mut self, end: u64) -> Result<(), String> {
        for _ in 0..EVENTS {
            self.check()?;
            let next = self.next_event().filter(|next| *next <= end);
            let Some(next) = next else {
                self.go_to(end);
                return Ok(());
            };
            self.go_to(next.max(self.now));
            if self.up.front().is_some_and(|(at, _)| *at <= self.now) {
                self.hear();
            } else if self.down.front().is_some_and(|(at, _)| *at <= self.now) {
                self.receive();
            }
            self.client.advance(self.now);
            self.ask(0);
            self.serve();
        }
        Err("(g) the run never comes to rest".into())
    }

    fn next_event(&self) -> Option<u64> {
        let up = self.up.front().map(|(at, _)| *at);
        let down = self.down.front().map(|(at, _)| *at);
        let server = self
            .stream
            .session
            .poll_timeout()
            .map(|at| self.millis(at).max(self.now + 1));
        let all = [up, down, server, self.client.next_wake(), self.checks.next_wake()];
        all.into_iter().flatten().min()
    }

    fn millis(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.start);
        u64::try_from(passed.as_micros().div_ceil(1000)).expect("runs are short")
    }

    fn go_to(&mut self, now: u64) {
        self.stream.pass(Duration::from_millis(now - self.now));
        self.now = now;
    }

    // === the network ===

    fn ask(&mut self, first: usize) {
        for request in self.client.requests(first) {
            let text = describe(&request);
            self.note(&format!("  asks {text}"));
            self.up.push_back((self.now + self.network, request));
        }
    }

    fn hear(&mut self) {
        let (_, request) = self.up.pop_front().expect("it is due");
        match &request {
            Request::Sotw(request) => self.stream.send(request),
            Request::Delta(request) => self.stream.send_delta(request),
        }
        self.checks.on_request(&request);
    }

    /// Sends every response of the session on its way.
    fn serve(&mut self) {
        for response in self.stream.drain() {
            self.note(&format!(
                "    sends {} {}",
                response.delivery.nonce,
                contents(&response)
            ));
            self.checks.on_sent(&response);
            let arrives = self.now + self.network + self.client.draw_busy();
            let last = self.down.back().map_or(0, |(at, _)| *at);
            self.down.push_back((arrives.max(last), response));
        }
        let outcomes = std::mem::take(&mut self.stream.outcomes);
        for outcome in outcomes {
            match outcome {
                Outcome::Synced(revision) => self.checks.progress = Some((true, revision)),
                Outcome::Blocked(revision) => self.checks.progress = Some((false, revision)),
                _ => {}
            }
        }
    }

    fn receive(&mut self) {
        let (_, response) = self.down.pop_front().expect("it is due");
        let refused = self.client.take_in(&response, self.now);
        let gist = gist(&response);
        self.note(&format!("  takes {gist}"));
        if let Some(message) = &refused {
            self.note(&format!("  refuses it: {message}"));
        }
        self.checks.on_response(&response, refused.as_deref());
    }

    // === the end ===

    /// Publishes good content and answers everything: the client must hold exactly that, and the session report it.
    fn converge(&mut self) -> Result<(), String> {
        self.plan = self.plan.clone().mended();
        if !self.client.unmended.is_empty() {
            let last = self.plan.clone();
            self.plan = last.clone().placeless();
            self.note("all places are given up");
            self.publish();
            self.run_until(self.now + REST)?;
            self.plan = last;
        }
        self.note("the last publish");
        self.publish();
        self.run_until(self.now + REST)?;
        // A hold of a removed cluster ends with the routes that name it, at the latest after `hold_cap`.
        for _ in 0..3 {
            self.run_until(self.now + 1_000_000)?;
        }
        self.checks.converged(&self.client, &self.stream)
    }

    fn check(&mut self) -> Result<(), String> {
        for note in std::mem::take(&mut self.client.notes) {
            self.note(&format!("  {note}"));
        }
        self.checks.check(&mut self.client, self.now)
    }

    fn note(&mut self, text: &str) {
        self.log.push(format!("{:>6} ms {text}", self.now));
    }
}

fn contents(response: &Response) -> String {
    let resources = response.resources.iter().map(|resource| {
        let to = resource
            .references
            .iter()
            .filter(|to| CLUSTERS.contains(&to.name.as_str()) || to.resource_type == Route);
        let to: Vec<_> = to
            .filter(|to| to.resource_type != Endpoint)
            .map(|to| to.name.as_str())
            .collect();
        let text = String::from_utf8_lossy(&resource.body);
        match to.as_slice() {
            [] => format!("{}@{text}", resource.name),
            to => format!("{}@{text}→{}", resource.name, to.join(",")),
        }
    });
    let removed = response.removed.iter().map(|name| format!("-{name}"));
    let all: Vec<String> = resources.chain(removed).collect();
    format!("{}[{}]", response.delivery.resource_type, all.join(" "))
}

fn describe(request: &Request) -> String {
    let short = |url: &str| url.rsplit('.').next().unwrap_or_default().to_owned();
    match request {
        Request::Sotw(request) => {
            let verdict = if request.error_detail.is_some() { "NACK" } else { "ACK" };
            let (kind, nonce) = (short(&request.type_url), &request.response_nonce);
            format!(
                "{kind} {:?} {verdict} {nonce:?} version {:?}",
                request.resource_names, request.version_info
            )
        }
        Request::Delta(request) => {
            let verdict = if request.error_detail.is_some() { "NACK" } else { "ACK" };
            let (more, less) = (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
            let held: Vec<_> = request.initial_resource_versions.keys().collect();
            let (kind, nonce) = (short(&request.type_url), &request.response_nonce);
            format!("{kind} +{more:?} -{less:?} holds {held:?} {verdict} {nonce:?}")
        }
    }
}
