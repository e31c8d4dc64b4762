//! The floods: attacks by a malicious client that knows the protocol and has no credentials.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest};
use h2::Reason;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout_at},
};

use crate::{
    ATTACKERS,
    caller::{Call, Caller, Failed, dial, framed, repeat_frames},
    fleet::{CLUSTER, GROUP},
    server::Server,
};

const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const SOTW: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
pub(crate) const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
pub(crate) const WINDOW: u32 = 1024 * 1024;
const MIB: usize = 1024 * 1024;

/// The addresses under attack, and the end of the attack.
pub(crate) struct Target {
    xds: SocketAddr,
    admin: SocketAddr,
    http: SocketAddr,
    probe: SocketAddr,
    until: Instant,
}

type Attack = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Flood {
    pub(crate) name: &'static str,
    /// True if the memory of this flood grows slowly.
    pub(crate) is_slow: bool,
    pub(crate) attack: fn(Arc<Target>, usize) -> Attack,
}

/// Repeats an attack until the time is over: a refused attacker connects again.
macro_rules! flood {
    ($name:ident) => {
        flood!($name, false)
    };
    (slow $name:ident) => {
        flood!($name, true)
    };
    ($name:ident, $is_slow:literal) => {
        Flood {
            name: stringify!($name),
            is_slow: $is_slow,
            attack: |target, number| {
                Box::pin(async move {
                    while target.goes_on() {
                        // An attack that still runs at the end is dropped.
                        timeout_at(target.until.into(), $name(&target, number)).await.ok();
                        sleep(Duration::from_millis(10)).await;
                    }
                })
            },
        }
    };
}

pub(crate) const FLOODS: &[Flood] = &[
    flood!(extensions),
    flood!(metadata),
    flood!(nodes),
    flood!(slow names),
    flood!(slow edits),
    flood!(slow globs),
    flood!(type_urls),
    flood!(refusals),
    flood!(unfinished),
    flood!(streams),
    flood!(resets),
    flood!(pings),
    flood!(settings),
    flood!(silence),
    flood!(slow polls),
    flood!(deaf),
];

// === impl Target ===

impl Target {
    pub(crate) fn new(server: &Server, until: Instant) -> Self {
        let address = |port| server.address(port).parse().unwrap();
        Self {
            xds: address("xds"),
            admin: address("admin"),
            http: address("http"),
            probe: address("probe"),
            until,
        }
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    async fn rest(&self) {
        sleep(self.until.saturating_duration_since(Instant::now())).await;
    }

    async fn caller(&self, number: usize) -> Result<Caller, Failed> {
        Caller::connect(self.xds, from(number), WINDOW).await
    }
}

/// The address of an attacker: half of them share one, the others have one each; the fleet has another.
fn from(number: usize) -> SocketAddr {
    let last = u8::try_from(number).unwrap();
    let shared = number < ATTACKERS / 2;
    let address = Ipv4Addr::new(127, 0, 1, if shared { 1 } else { 2 + last });
    SocketAddr::new(IpAddr::V4(address), 0)
}

// === messages ===

/// A field of bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut field);
    encode_varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

/// A node with additional encoded fields.
fn node(number: usize, more: &[u8]) -> Vec<u8> {
    let mut node = field(1, format!("stranger-{number}").as_bytes());
    node.extend(field(2, GROUP.as_bytes()));
    node.extend(more);
    node
}

fn sotw(number: usize, more: &[u8]) -> Vec<u8> {
    [field(2, &node(number, more)), field(4, CLUSTER.as_bytes())].concat()
}

pub(crate) fn delta(number: usize, type_url: &str, names: impl Iterator<Item = String>) -> Vec<u8> {
    let request = DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names_subscribe: names.collect(),
        ..DeltaDiscoveryRequest::default()
    };
    [field(1, &node(number, &[])), request.encode_to_vec()].concat()
}

// === what a node says of itself ===

/// Sends one request, and waits for the answer.
async fn ask(target: &Target, number: usize, message: &[u8]) -> Result<(), Failed> {
    let mut call = target.caller(number).await?.call(SOTW).await?;
    call.say(message)?;
    call.listen().await
}

/// Millions of empty messages, each of which decodes to some hundred bytes.
async fn extensions(target: &Target, number: usize) -> Result<(), Failed> {
    ask(target, number, &sotw(number, &field(9, b"").repeat(8 * MIB))).await
}

/// Millions of empty messages inside of metadata.
async fn metadata(target: &Target, number: usize) -> Result<(), Failed> {
    let entry = field(1, &field(1, b""));
    ask(target, number, &sotw(number, &field(3, &entry.repeat(2 * MIB)))).await
}

/// Nodes with large texts, each with another id.
async fn nodes(target: &Target, number: usize) -> Result<(), Failed> {
    let id = format!("{number}-{:?}", Instant::now());
    let more = [field(1, id.as_bytes()), field(6, &vec![b'a'; 20 * MIB])].concat();
    ask(target, number, &sotw(number, &more)).await
}

// === what is asked for ===

/// Hundreds of thousands of names that do not exist.
async fn names(target: &Target, number: usize) -> Result<(), Failed> {
    let request = DiscoveryRequest {
        type_url: ENDPOINT.to_owned(),
        resource_names: (0..400_000).map(|name| format!("name-{number}-{name}")).collect(),
        ..DiscoveryRequest::default()
    };
    let message = [field(2, &node(number, &[])), request.encode_to_vec()].concat();
    let mut caller = target.caller(number).await?;
    let mut call = caller.call(SOTW).await?;
    call.say(&message)?;
    call.listen().await
}

/// Hundreds of thousands of names that do not exist, edited one by one.
async fn edits(target: &Target, number: usize) -> Result<(), Failed> {
    let mut caller = target.caller(number).await?;
    let mut call = caller.call(DELTA).await?;
    let all = (0..400_000).map(|name| format!("name-{number}-{name}"));
    call.say(&delta(number, ENDPOINT, all))?;
    for edit in 0..4180 {
        call.say(&delta(number, ENDPOINT, [format!("further-{edit}")].into_iter()))?;
    }
    call.listen().await
}

/// A hundred thousand globs.
async fn globs(target: &Target, number: usize) -> Result<(), Failed> {
    let glob = |glob| format!("xdstp://a/envoy.config.cluster.v3.Cluster/{number}-{glob}/*");
    let mut caller = target.caller(number).await?;
    let mut call = caller.call(DELTA).await?;
    call.say(&delta(number, CLUSTER, (0..100_000).map(glob)))?;
    call.listen().await
}

/// Many types with long names.
async fn type_urls(target: &Target, number: usize) -> Result<(), Failed> {
    let mut caller = target.caller(number).await?;
    let mut call = caller.call(SOTW).await?;
    call.say(&sotw(number, &[]))?;
    for kind in 0..64 {
        let url = format!("type.googleapis.com/{}{kind}", "a".repeat(5 * MIB));
        call.say(&field(4, url.as_bytes()))?;
    }
    call.listen().await
}

/// Refusals with long messages, as fast as the server reads them.
async fn refusals(target: &Target, number: usize) -> Result<(), Failed> {
    let mut caller = target.caller(number).await?;
    let mut call = caller.call(SOTW).await?;
    call.say(&sotw(number, &[]))?;
    let status = field(2, &vec![b'a'; MIB]);
    let refusal = [field(4, CLUSTER.as_bytes()), field(5, b"1-1-1"), field(6, &status)].concat();
    for _ in 0..100 {
        call.say(&refusal)?;
    }
    call.listen().await
}

/// Requests whose last byte never comes.
async fn unfinished(target: &Target, number: usize) -> Result<(), Failed> {
    let mut caller = target.caller(number).await?;
    let mut call = caller.call(SOTW).await?;
    call.say(&sotw(number, &[]))?;
    let mut message = framed(&vec![b'a'; 60 * MIB]);
    message.pop();
    call.requests.send_data(message.into(), false)?;
    call.listen().await
}

// === HTTP/2 ===

/// The largest number of open streams, each with a subscription.
async fn streams(target: &Target, number: usize) -> Result<(), Failed> {
    let mut caller = target.caller(number).await?;
    let mut open: Vec<Call> = Vec::new();
    while target.goes_on() && open.len() < 100_000 {
        let mut call = caller.call(SOTW).await?;
        call.say(&sotw(number, &[]))?;
        open.push(call);
    }
    target.rest().await;
    Ok(())
}

/// Streams that are reset right after they are opened.
async fn resets(target: &Target, number: usize) -> Result<(), Failed> {
    let mut caller = target.caller(number).await?;
    while target.goes_on() {
        let mut call = caller.call(SOTW).await?;
        call.say(&sotw(number, &[]))?;
        call.requests.send_reset(Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn pings(target: &Target, number: usize) -> Result<(), Failed> {
    repeat_frames(
        target.xds,
        from(number),
        b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
    )
    .await
}

async fn settings(target: &Target, number: usize) -> Result<(), Failed> {
    repeat_frames(target.xds, from(number), b"\x00\x00\x00\x04\x00\x00\x00\x00\x00").await
}

/// Silent connections to every port.
async fn silence(target: &Target, number: usize) -> Result<(), Failed> {
    let mut open = Vec::new();
    for _ in 0..55 {
        for port in [target.xds, target.admin, target.http, target.probe] {
            if let Ok(connection) = dial(port, from(number)).await {
                open.push(connection);
            }
        }
    }
    target.rest().await;
    Ok(())
}

/// Polls over REST, each with another id and another list of names.
async fn polls(target: &Target, number: usize) -> Result<(), Failed> {
    let mut stream = dial(target.http, from(number)).await?;
    let mut heard = vec![0; 64 * 1024];
    for poll in 0.. {
        let names: Vec<String> = (0..8000).map(|name| format!("\"{poll}-{name}\"")).collect();
        let body = format!(
            r#"{{"node": {{"id": "poll-{number}-{poll}", "cluster": "{GROUP}"}}, "type_url": "{ENDPOINT}", "resource_names": [{}]}}"#,
            names.join(",")
        );
        let head = format!(
            "POST /v3/discovery:endpoints HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        if stream.read(&mut heard).await? == 0 {
            return Err(Failed);
        }
    }
    Ok(())
}

/// Clients that do not read their responses.
async fn deaf(target: &Target, number: usize) -> Result<(), Failed> {
    let mut caller = Caller::connect(target.xds, from(number), 1).await?;
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut call = caller.call(DELTA).await?;
        call.say(&delta(number, CLUSTER, std::iter::empty()))?;
        open.push(call.answer().await?);
    }
    target.rest().await;
    Ok(())
}
