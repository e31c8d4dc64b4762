//! Chancery within another process: it starts, publishes a snapshot of one cluster, and serves it until Ctrl-C.

use std::sync::Arc;

use chancery::{
    admission::{Candidate, Document, Format},
    app::{App, Running},
    node::NodeGroup,
    publisher::{PublishOptions, Published, ReplaceRequest},
    settings::{Layer, Settings},
};

const CLUSTERS: &str = r#"
resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: users
  type: STRICT_DNS
  load_assignment:
    cluster_name: users
    endpoints:
    - lb_endpoints:
      - endpoint:
          address: { socket_address: { address: users.internal, port_value: 8080 } }
"#;

#[tokio::main]
#[allow(clippy::print_stdout, reason = "an example tells its reader where it listens")]
async fn main() -> anyhow::Result<()> {
    let running = start().await?;
    let published = publish(&running).await?;
    println!(
        "revision {} is served at {}",
        published.revision.0, running.addresses.xds
    );
    tokio::signal::ctrl_c().await?;
    running.shutdown().await;
    Ok(())
}

/// Every setting of `docs/configuration.md` is a field of `Layer`. Port 0 is any free port.
pub(crate) async fn start() -> anyhow::Result<Running> {
    let local = Some(([127, 0, 0, 1], 0).into());
    let settings = Settings::resolve(Layer {
        ephemeral: Some(true),
        xds_addr: local,
        admin_addr: local,
        http_addr: local,
        ..Layer::default()
    })?;
    App::start(settings).await
}

/// The snapshot is checked as every publish is: a fault is an error that names the place and the rule.
pub(crate) async fn publish(running: &Running) -> anyhow::Result<Published> {
    let publisher = Arc::clone(running.publisher());
    let request = ReplaceRequest {
        group: NodeGroup::from("demo"),
        candidate: Candidate {
            documents: vec![Document {
                name: "clusters.yaml".to_owned(),
                content: CLUSTERS.into(),
                format: Format::Yaml,
            }],
            ..Candidate::default()
        },
        options: PublishOptions::default(),
    };
    // A publish waits for the store.
    Ok(tokio::task::spawn_blocking(move || publisher.replace(request)).await??)
}
