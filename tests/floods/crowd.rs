//! Thousands of nodes that connect at once, and that are still connected when the server ends.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use chancery::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use prost::Message as _;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    attack::{DELTA, WINDOW, delta},
    caller::{Caller, Failed},
    fleet::{CLUSTER, number_of},
};

/// Number of addresses of the nodes.
const ADDRESSES: usize = 50;

/// The status in the trailers of a stream that ends at a shutdown.
pub(crate) const UNAVAILABLE: &str = "14";

/// Nodes with a connection and a delta stream each.
pub(crate) struct Crowd {
    server: SocketAddr,
    /// The numbers of nodes that hold a publish.
    counts: Arc<Counts>,
    nodes: JoinSet<Option<String>>,
    len: usize,
}

#[derive(Default)]
struct Counts {
    /// The number of the publish that every node must receive.
    wanted: AtomicU64,
    /// Nodes that hold that publish, or a newer one.
    holding: AtomicUsize,
}

/// The last publish that one node holds.
#[derive(Default)]
struct Held {
    /// The number of the last received publish.
    publish: u64,
    is_counted: bool,
}

// === impl Crowd ===

impl Crowd {
    /// All nodes connect now. A refused node connects again.
    pub(crate) fn come(server: &str, len: usize) -> Self {
        let server: SocketAddr = server.parse().unwrap();
        let counts = Arc::new(Counts::default());
        let mut nodes = JoinSet::new();
        for number in 0..len {
            let counts = Arc::clone(&counts);
            nodes.spawn(async move {
                let mut held = Held::default();
                loop {
                    match node(server, number, &counts, &mut held).await {
                        Ok(status) => return status,
                        Err(Failed) => sleep(Duration::from_millis(200 + number as u64 % 800)).await,
                    }
                }
            });
        }
        Self {
            server,
            counts,
            nodes,
            len,
        }
    }

    /// Counts from now on the nodes that hold the future publish of this number, or a newer one.
    pub(crate) fn expect(&self, publish: u64) {
        self.counts.wanted.store(publish, Ordering::SeqCst);
    }

    /// Waits until every node holds the expected publish.
    pub(crate) async fn hold(&self, patience: Duration) {
        let counts = &self.counts;
        let all = async {
            while counts.holding.load(Ordering::SeqCst) < self.len {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let holding = || counts.holding.load(Ordering::SeqCst);
        assert!(
            timeout(patience, all).await.is_ok(),
            "{} of {} nodes at {} hold what was published",
            holding(),
            self.len,
            self.server
        );
    }

    /// The final status of each stream, if it had one.
    pub(crate) async fn ended(self) -> Vec<Option<String>> {
        self.nodes.join_all().await
    }
}

fn from(number: usize) -> SocketAddr {
    let last = u8::try_from(number % ADDRESSES + 1).unwrap();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 2, last)), 0)
}

/// Runs one node until its stream ends with a status.
async fn node(server: SocketAddr, number: usize, counts: &Counts, held: &mut Held) -> Result<Option<String>, Failed> {
    let mut caller = Caller::connect(server, from(number), WINDOW).await?;
    let mut call = caller.call(DELTA).await?;
    call.say(&delta(number, CLUSTER, std::iter::empty()))?;
    let (mut requests, mut body) = call.answer().await?;
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
        while let Some(message) = next_message(&mut bytes) {
            let response = DeltaDiscoveryResponse::decode(message).unwrap();
            let ack = DeltaDiscoveryRequest {
                type_url: CLUSTER.to_owned(),
                response_nonce: response.nonce.clone(),
                ..DeltaDiscoveryRequest::default()
            };
            requests.send_data(crate::caller::framed(&ack.encode_to_vec()).into(), false)?;
            if let Some(number) = number_of(response) {
                held.publish = number;
            }
            let wanted = counts.wanted.load(Ordering::SeqCst);
            if !held.is_counted && wanted > 0 && held.publish >= wanted {
                held.is_counted = true;
                counts.holding.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    let trailers = body.trailers().await?;
    let status = trailers.and_then(|trailers| Some(trailers.get("grpc-status")?.to_str().ok()?.to_owned()));
    // Too many nodes connected at once: this one tries again.
    if held.publish == 0 {
        return Err(Failed);
    }
    Ok(status)
}

fn next_message(bytes: &mut BytesMut) -> Option<BytesMut> {
    let prefix = bytes.get(1..5)?;
    let len = u32::from_be_bytes(prefix.try_into().unwrap()) as usize;
    if bytes.len() < 5 + len {
        return None;
    }
    bytes.advance(5);
    Some(bytes.split_to(len))
}
