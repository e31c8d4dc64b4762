//! A denied secret cannot be distinguished from one that does not exist: neither by the response, byte for byte, nor by the time
//! of the response.
//!
//! Every run compares the responses. `make timing`, with `TIMING_NAMES` of each kind, prints the times for a reader to
//! judge.

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

/// Number of names of each kind by default.
const NAMES: usize = 60;
/// Number of secrets that the node may have: one is requested with each name that would get no response alone.
const OWN: usize = 4;

/// A client that requests a secret by name, and waits for the response.
trait Asks {
    /// The response, without the parts that differ between any two responses.
    async fn ask(&mut self, number: usize, name: &str) -> String;
}

/// A server with some secrets of another node and some of this node; the third kind does not exist.
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
    /// Requests the name together with another permitted secret than last time: the response has only that secret.
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
        // The permitted secret is one of a few.
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

/// Requests both kinds of names in turn, in varying order; returns the responses and their times.
async fn alternately(asks: &mut impl Asks, names: usize) -> [Vec<(String, Duration)>; 2] {
    let mut kinds = [Vec::new(), Vec::new()];
    let mut asked = 0;
    for number in 0..names {
        // A bit of a well mixed number decides which kind comes first.
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

/// Prints the difference between the times, and asserts that the responses are the same.
#[allow(clippy::print_stdout, reason = "the figures are what it is run for")]
async fn compare(what: &str, asks: &mut impl Asks, names: usize) {
    // A first pass fills caches before the measurement.
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

/// The difference between two samples.
struct Comparison {
    medians: [u64; 2],
    /// The share of all pairs in which the time of the first kind is longer; one half if there is no difference.
    longer: f64,
    /// The deviation of this share from one half, in standard deviations (Mann and Whitney).
    deviations: f64,
    /// The largest distance between the two distributions, and the distance that one in a hundred pairs of equal samples exceeds
    /// (Kolmogorov and Smirnov).
    distance: f64,
    critical: f64,
}

impl Comparison {
    /// Compares two sorted samples.
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
    let text = Comparison::of(&later, &first).to_string();
    assert!(text.ends_with("TOLD APART"), "{text}");
    let by_one: Vec<u64> = (1..1001).collect();
    assert!(Comparison::of(&by_one, &first).to_string().ends_with("not told apart"));
}
