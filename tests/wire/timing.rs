//! A secret that a node may not have is told apart from one that is not there by nothing: not by what is answered, byte for byte,
//! and not by how long that takes.
//!
//! The answers are compared in every run. The times are printed and judged by whoever asks for them: `make timing`, with
//! `TIMING_NAMES` of each kind.

use std::time::{Duration, Instant};

use chancery::{
    proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
    resource::ResourceType,
    settings::{Layer, LimitsLayer, RestLayer, XdsLayer},
};
use prost::Message as _;

use crate::{
    access::{Guarded, Stream},
    client::node,
    config::Config,
};

/// Names of each kind in a run that says no other.
const NAMES: usize = 60;
/// Secrets that the node may have: it asks for one beside each name where the name alone is met with silence.
const OWN: usize = 4;

/// One who asks for a secret by name, and is answered.
trait Asks {
    /// What the answer says, without what differs from one answer to the next whatever is asked for.
    async fn ask(&mut self, number: usize, name: &str) -> String;
}

/// Some secrets that another may have, some that the node may have, and none of the third kind.
async fn start(names: usize) -> Guarded {
    let layer = Layer {
        rest: RestLayer {
            enabled: Some(true),
            ..RestLayer::default()
        },
        xds: XdsLayer {
            requests_per_second: Some(u32::MAX),
            ..XdsLayer::default()
        },
        limits: LimitsLayer::default(),
        ..Layer::default()
    };
    let guarded = Guarded::with(layer).await;
    let secret = |config: Config, name: &str| config.with(&ResourceType::Secret, name, 1);
    let config = (0..names).fold(Config::new(), |config, number| secret(config, &denied(number)));
    let config = (0..OWN).fold(config, |config, number| secret(config, &own(number)));
    guarded.server.publish(&config).await;
    guarded
}

fn denied(number: usize) -> String {
    format!("pay-a{number:06}")
}

fn missing(number: usize) -> String {
    format!("pay-z{number:06}")
}

fn own(number: usize) -> String {
    format!("shop-{}", number % OWN)
}

struct Delta(
    Stream<DeltaDiscoveryRequest, chancery::proto::discovery::DeltaDiscoveryResponse>,
    String,
    String,
);

impl Asks for Delta {
    async fn ask(&mut self, _number: usize, name: &str) -> String {
        let Self(stream, before, nonce) = self;
        let given_up = std::mem::replace(before, name.to_owned());
        let request = DeltaDiscoveryRequest {
            type_url: ResourceType::Secret.type_url().to_owned(),
            resource_names_subscribe: vec![name.to_owned()],
            resource_names_unsubscribe: Some(given_up).filter(|name| !name.is_empty()).into_iter().collect(),
            response_nonce: std::mem::take(nonce),
            ..DeltaDiscoveryRequest::default()
        };
        stream.requests.send(request).unwrap();
        let mut answer = stream.next().await.unwrap().unwrap();
        *nonce = std::mem::take(&mut answer.nonce);
        let bytes = answer.encode_to_vec();
        format!("{}: {answer:?}", bytes.len()).replace(name, "NAME")
    }
}

struct Sotw(
    Stream<DiscoveryRequest, chancery::proto::discovery::DiscoveryResponse>,
    String,
    String,
);

impl Asks for Sotw {
    /// With a secret of the node's own, another than the time before: that is answered, the name itself is not.
    async fn ask(&mut self, number: usize, name: &str) -> String {
        let Self(stream, nonce, version) = self;
        let request = DiscoveryRequest {
            type_url: ResourceType::Secret.type_url().to_owned(),
            resource_names: vec![own(number), name.to_owned()],
            response_nonce: nonce.clone(),
            version_info: version.clone(),
            ..DiscoveryRequest::default()
        };
        stream.requests.send(request).unwrap();
        let mut answer = stream.next().await.unwrap().unwrap();
        *nonce = std::mem::take(&mut answer.nonce);
        *version = answer.version_info.clone();
        let bytes = answer.encode_to_vec();
        let shown = format!("{}: {answer:?}", bytes.len());
        // The one beside it is one of a few.
        (0..OWN)
            .fold(shown, |shown, number| shown.replace(&own(number), "OWN"))
            .replace(name, "NAME")
    }
}

struct Rest {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Asks for Rest {
    async fn ask(&mut self, _number: usize, name: &str) -> String {
        let body = format!(r#"{{"node": {{"id": "shop/1", "cluster": "demo"}}, "resource_names": ["{name}"]}}"#);
        let request = self.client.post(&self.url).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        let mut headers = answer.headers().clone();
        headers.remove("date");
        let status = answer.status();
        let text = answer.text().await.unwrap();
        format!("{status} {headers:?} {text}").replace(name, "NAME")
    }
}

/// Asks for both kinds of names in turn, whichever first; the answers, and the times that they took.
async fn alternately(asks: &mut impl Asks, names: usize) -> [Vec<(String, Duration)>; 2] {
    let mut kinds = [Vec::new(), Vec::new()];
    let mut asked = 0;
    for number in 0..names {
        // By the bits of a well mixed number: neither kind is always the one that comes after the other.
        let first = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) & 1;
        for kind in [first, 1 - first] {
            let name = if kind == 0 { denied(number) } else { missing(number) };
            let began = Instant::now();
            let answer = asks.ask(asked, &name).await;
            kinds[kind].push((answer, began.elapsed()));
            asked += 1;
        }
    }
    kinds
}

/// Prints how far apart the times are, and holds that the answers are the same.
#[allow(clippy::print_stdout, reason = "the figures are what it is run for")]
async fn compare(what: &str, asks: &mut impl Asks, names: usize) {
    // What is built once is built before anything is measured.
    alternately(asks, names.min(20)).await;
    let [denied, missing] = alternately(asks, names).await;
    let texts = |answers: &[(String, Duration)]| {
        let mut texts: Vec<String> = answers.iter().map(|(text, _)| text.clone()).collect();
        texts.sort();
        texts.dedup();
        texts
    };
    let (of_denied, of_missing) = (texts(&denied), texts(&missing));
    assert_eq!(of_denied, of_missing, "{what}");
    let times = |answers: Vec<(String, Duration)>| {
        let mut times: Vec<u64> = answers
            .into_iter()
            .map(|(_, time)| time.as_nanos().try_into().unwrap())
            .collect();
        times.sort_unstable();
        times
    };
    println!("{what:12} {}", Comparison::of(&times(denied), &times(missing)));
}

/// How far two samples are apart.
struct Comparison {
    medians: [u64; 2],
    /// How often a time of the first kind is the longer one, of all pairs; half of them where there is no difference.
    longer: f64,
    /// By how many standard deviations that differs from half (Mann and Whitney).
    deviations: f64,
    /// The largest distance between the two distributions, and from which on one in a hundred samples of the same would show it
    /// (Kolmogorov and Smirnov).
    distance: f64,
    critical: f64,
}

impl Comparison {
    /// Both are sorted.
    fn of(first: &[u64], second: &[u64]) -> Self {
        let (m, n) = (first.len() as f64, second.len() as f64);
        let below = |times: &[u64], time: u64| times.partition_point(|other| *other < time) as f64;
        let upto = |times: &[u64], time: u64| times.partition_point(|other| *other <= time) as f64;
        let wins: f64 = first
            .iter()
            .map(|time| f64::midpoint(below(second, *time), upto(second, *time)))
            .sum();
        let distances = first
            .iter()
            .chain(second)
            .map(|time| (upto(first, *time) / m - upto(second, *time) / n).abs());
        Self {
            medians: [first, second].map(|times| times[times.len() / 2]),
            longer: wins / (m * n),
            deviations: (wins - m * n / 2.0) / (m * n * (m + n + 1.0) / 12.0).sqrt(),
            distance: distances.fold(0.0, f64::max),
            critical: 1.63 * ((m + n) / (m * n)).sqrt(),
        }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            medians: [denied, missing],
            longer,
            deviations,
            distance,
            critical,
        } = self;
        let apart = distance > critical && deviations.abs() > 2.58;
        write!(
            f,
            "median denied {:.1} us, missing {:.1} us; denied is slower in {:.1} % of pairs ({deviations:+.2} deviations); \
             distance {distance:.4}, 1 % of equal ones are beyond {critical:.4}: {}",
            *denied as f64 / 1e3,
            *missing as f64 / 1e3,
            longer * 100.0,
            if apart { "TOLD APART" } else { "not told apart" }
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_and_missing_secrets_are_answered_with_the_same_bytes() {
    let asked = std::env::var("TIMING_NAMES").map(|count| count.parse().expect("TIMING_NAMES is a number"));
    let names = asked.unwrap_or(NAMES);
    let guarded = start(names).await;
    let first = DeltaDiscoveryRequest {
        type_url: ResourceType::Secret.type_url().to_owned(),
        node: Some(node("shop/1")),
        resource_names_subscribe: vec![own(0)],
        ..DeltaDiscoveryRequest::default()
    };
    let mut stream = guarded.delta(&guarded.shop, first).await.unwrap();
    let nonce = stream.next().await.unwrap().unwrap().nonce;
    compare("delta", &mut Delta(stream, String::new(), nonce), names).await;

    let first = DiscoveryRequest {
        type_url: ResourceType::Secret.type_url().to_owned(),
        node: Some(node("shop/1")),
        resource_names: vec![own(OWN - 1)],
        ..DiscoveryRequest::default()
    };
    let mut stream = guarded.sotw(&guarded.shop, first).await.unwrap();
    let answer = stream.next().await.unwrap().unwrap();
    compare("SotW", &mut Sotw(stream, answer.nonce, answer.version_info), names).await;

    let mut rest = Rest {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: format!("http://{}/v3/discovery:secrets", guarded.server.http()),
        token: guarded.shop.clone(),
    };
    compare("REST", &mut rest, names).await;
    let series = r#"xds_access_denied_total{port="xds",reason="secret"}"#;
    assert!(
        guarded.server.metrics().await[series] > 0.0,
        "none of the names is the node's"
    );
}

#[test]
fn a_difference_is_told_and_none_is_not() {
    let first: Vec<u64> = (0..1000).collect();
    let equal = Comparison::of(&first, &first);
    assert!(equal.distance == 0.0 && equal.deviations.abs() < 1e-9 && (equal.longer - 0.5).abs() < 1e-9);
    let later: Vec<u64> = (100..1100).collect();
    let told = Comparison::of(&later, &first).to_string();
    assert!(told.ends_with("TOLD APART"), "{told}");
    let by_one: Vec<u64> = (1..1001).collect();
    assert!(Comparison::of(&by_one, &first).to_string().ends_with("not told apart"));
}
