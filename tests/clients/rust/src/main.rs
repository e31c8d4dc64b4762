//! Calls `chancery.test.Backend/Name` at the given target, ten times a second, until it is killed. Prints a line per call:
//! `ok NAME`, or `error CODE MESSAGE`.

use std::time::Duration;

use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use tonic_xds::{XdsChannelBuilder, XdsChannelConfig, XdsChannelGrpc, XdsUri};

const METHOD: PathAndQuery = PathAndQuery::from_static("/chancery.test.Backend/Name");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args().nth(1).ok_or("a target is needed")?;
    let channel = XdsChannelBuilder::new(XdsChannelConfig::new(XdsUri::parse(&target)?)).build_grpc_channel()?;
    let mut client = Grpc::new(channel);
    loop {
        match name(&mut client).await {
            Ok(name) => println!("ok {name}"),
            Err(status) => println!("error {:?} {}", status.code(), status.message()),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `google.protobuf.Empty` in, `google.protobuf.StringValue` out: prost maps them to `()` and `String`.
async fn name(client: &mut Grpc<XdsChannelGrpc>) -> Result<String, Status> {
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(());
    request.set_timeout(Duration::from_secs(10));
    let response = client
        .unary(request, METHOD, ProstCodec::<(), String>::default())
        .await?;
    Ok(response.into_inner())
}
