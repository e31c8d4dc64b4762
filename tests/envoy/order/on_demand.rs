//! A wildcard without on-demand resources deletes none that another stream of the same node subscribed to (S-20).

use std::{thread::sleep, time::Duration};

use chancery::settings::{Layer, ProtocolLayer};
use reqwest::{
    Client,
    header::{HeaderMap, HeaderValue},
};
use serde_json::json;

use crate::harness::{
    Config, Control, Envoy, Mode, ROUTES, Release, Traffic, Upstream, ads, cluster, endpoints, eventually, expect,
    filter, http_listener, router, send,
};

matrix! {
    an_on_demand_cluster_outlives_changes_of_others => {
        v1_40: V1_40 AdsSotw,
        v1_36: V1_36 AdsSotw,
    }
}

/// Long enough for some requests.
const A_MOMENT: Duration = Duration::from_millis(300);

/// The Envoy subscribes to clusters in SotW, without those of tenants, and to a tenant's cluster on a delta stream at the
/// first request for it.
fn an_on_demand_cluster_outlives_changes_of_others(release: Release, mode: Mode) {
    let control = Control::with(Layer {
        protocol: ProtocolLayer {
            on_demand: Some(vec!["cluster:tenant-*".to_owned()]),
            ..ProtocolLayer::default()
        },
        ..Layer::default()
    });
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let odcds = json!({ "source": Mode::SeparateDelta.source(), "timeout": "5s" });
    let on_demand = filter("on_demand", "on_demand.v3.OnDemand", json!({ "odcds": odcds }));
    let by_header = json!({ "match": { "prefix": "/" }, "route": { "cluster_header": "x-cluster" } });
    let host = json!({ "name": "all", "domains": ["*"], "routes": [by_header] });
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    let mut config = Config::of([
        http_listener("web", &json!({ "rds": rds, "http_filters": [on_demand, router()] })),
        json!({ "@type": ROUTES, "name": "all", "virtual_hosts": [host] }),
        cluster("app", &ads()),
        endpoints("app", &[&blue]),
        cluster("tenant-a", &ads()),
        endpoints("tenant-a", &[&green]),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    for (name, body) in [("app", "blue"), ("tenant-a", "green")] {
        eventually(&format!("requests reach {name}"), || {
            let reply = send(envoy.request("web", "/")?.header("x-cluster", name))?;
            expect((reply.status.as_u16(), reply.body.as_str()), (200, body))
        });
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-cluster", HeaderValue::from_static("tenant-a"));
    let client = Client::builder().no_proxy().default_headers(headers).build().unwrap();
    let traffic = Traffic::start(client, format!("http://{}/", envoy.address("web").unwrap()));

    for number in 0..3 {
        let other = format!("other-{number}");
        config.set(cluster(&other, &ads()));
        config.set(endpoints(&other, &[&blue]));
        control.deliver(&config);
        eventually("an unrelated cluster came", || expect(envoy.has_cluster(&other), true));
        sleep(A_MOMENT);
    }
    traffic.expect_no_failure();
    // The on-demand cluster still receives its own changes.
    config.set(endpoints("tenant-a", &[&blue]));
    control.deliver(&config);
    eventually("the tenant's cluster changes", || {
        let reply = send(envoy.request("web", "/")?.header("x-cluster", "tenant-a"))?;
        expect(reply.body.as_str(), "blue")
    });
}
