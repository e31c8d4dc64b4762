//! Section X: names that clients write in several ways.

use super::fixture::*;
use crate::protocol::Variant;

const CANONICAL: &str = "xdstp://x/envoy.config.endpoint.v3.ClusterLoadAssignment/a%2Fb?k=1&z=2";
const WRITTEN: &str = "xdstp://x/envoy.config.endpoint.v3.ClusterLoadAssignment/%61%2fb?z=2&k=1";

fn config() -> Config {
    Config::default().with(Endpoint, CANONICAL, "1")
}

//
#[test]
fn name_is_found_in_whatever_way_it_is_written() {
    let mut sotw = Stream::new(Variant::Sotw);
    sotw.publish(&config());
    sotw.sotw(&Endpoint, &[WRITTEN]);
    let response = sotw.one();
    assert_eq!(gist(&response), format!("endpoint[{CANONICAL}]"));
    sotw.ack(&response, &[CANONICAL]);
    sotw.silence();

    let mut delta = Stream::new(Variant::Delta);
    delta.publish(&config());
    delta.delta(&Endpoint, &[WRITTEN], &[]);
    let response = delta.one();
    assert_eq!(gist(&response), format!("endpoint[{CANONICAL}]"));
    delta.ack_delta(&response);
    delta.delta(&Endpoint, &[], &[CANONICAL]);
    delta.publish(&config().with(Endpoint, CANONICAL, "2"));
    delta.silence();
}

// X-1, D-5
#[test]
fn presented_version_counts_in_whatever_way_its_name_is_written() {
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&config());
    let version = config()
        .at(1, None)
        .resource(&Endpoint, CANONICAL)
        .unwrap()
        .version
        .to_string();
    let mut request = delta(&Endpoint, &[WRITTEN], &[]);
    request.initial_resource_versions = [(WRITTEN.to_owned(), version)].into();
    stream.send_delta(&request);
    stream.silence();
}

//
#[test]
fn glob_is_found_whatever_the_order_of_its_context() {
    let member = "xdstp://x/envoy.config.endpoint.v3.LbEndpoint/d/1?k=1&z=2";
    let kind = crate::resource::ResourceType::LbEndpoint;
    let mut stream = Stream::new(Variant::Delta);
    stream.publish(&Config::default().with(kind.clone(), member, "1"));
    stream.delta(
        &kind,
        &["xdstp://x/envoy.config.endpoint.v3.LbEndpoint/d/*?z=2&k=1"],
        &[],
    );
    assert_eq!(gist(&stream.one()), format!("lb_endpoint[{member}]"));
}
