//! SRDS: a request's header chooses its scope, and the scope its routes.

use serde_json::{Value, json};

use crate::harness::{
    Config, Control, Envoy, Mode, Release, SCOPED_ROUTES, Upstream, ads, cluster, endpoints, eventually, expect,
    http_listener, router, routes, send,
};

for_every_envoy_on_ads! {
    a_header_chooses_the_routes,
}

fn scope(tenant: &str, routes: &str) -> Value {
    json!({
        "@type": SCOPED_ROUTES,
        "name": tenant,
        "route_configuration_name": routes,
        "key": { "fragments": [{ "string_key": tenant }] },
    })
}

fn scoped_listener() -> Value {
    let tenant = json!({ "header_value_extractor": { "name": "x-tenant", "index": 0 } });
    let scopes = json!({
        "name": "scopes",
        "scope_key_builder": { "fragments": [tenant] },
        "rds_config_source": ads(),
        "scoped_rds": { "scoped_rds_config_source": ads() },
    });
    http_listener("web", &json!({ "scoped_routes": scopes, "http_filters": [router()] }))
}

#[track_caller]
fn expect_tenant(envoy: &Envoy, tenant: &str, status: u16, body: &str) {
    eventually(&format!("tenant {tenant} gets {status} {body}"), || {
        let reply = send(envoy.request("web", "/")?.header("x-tenant", tenant))?;
        expect((reply.status.as_u16(), reply.body.as_str()), (status, body))
    });
}

fn a_header_chooses_the_routes(release: Release, mode: Mode) {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let mut config = Config::of([
        cluster("blue", &ads()),
        endpoints("blue", &[&blue]),
        cluster("green", &ads()),
        endpoints("green", &[&green]),
        routes("to-blue", "blue"),
        routes("to-green", "green"),
        scope("acme", "to-blue"),
        scope("zeta", "to-green"),
        scoped_listener(),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    expect_tenant(&envoy, "acme", 200, "blue");
    expect_tenant(&envoy, "zeta", 200, "green");
    expect_tenant(&envoy, "nobody", 404, "");

    // The two scopes exchange their routes (O-13).
    config.set(scope("acme", "to-green"));
    config.set(scope("zeta", "to-blue"));
    control.deliver(&config);
    expect_tenant(&envoy, "acme", 200, "green");
    expect_tenant(&envoy, "zeta", 200, "blue");

    config.set(scope("late", "to-green"));
    config.remove(SCOPED_ROUTES, "acme");
    control.deliver(&config);
    expect_tenant(&envoy, "late", 200, "green");
    expect_tenant(&envoy, "acme", 404, "");
    expect_tenant(&envoy, "zeta", 200, "blue");
}
