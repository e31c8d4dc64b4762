//! Publishes to Chancery like any publisher: through its admin API, with encoded documents.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::{
    Request,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::Publish;
use crate::{
    content::Item,
    wire::{
        Any, DiscoveryResponse, Document, ListNodesRequest, ListNodesResponse, PatchSnapshotRequest, PublishOptions,
        PublishResponse, ReplaceSnapshotRequest,
    },
};

const REPLACE: &str = "/chancery.admin.v1.SnapshotService/ReplaceSnapshot";
const PATCH: &str = "/chancery.admin.v1.SnapshotService/PatchSnapshot";
const LIST_NODES: &str = "/chancery.admin.v1.NodeService/ListNodes";

/// A connection to the admin port.
#[derive(Clone)]
pub(super) struct Admin(Grpc<Channel>);

impl Admin {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(Duration::from_secs(10))
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .tcp_nodelay(true);
        let unlimited = Grpc::new(endpoint.connect().await?).max_decoding_message_size(usize::MAX);
        Ok(Self(unlimited))
    }

    pub(super) async fn publish(&mut self, publish: &Publish<'_>) -> Result<()> {
        let document = document(publish);
        for group in publish.groups {
            let group = group.clone();
            let options = Some(PublishOptions {
                version_info: publish.version.to_string(),
                allow_removals: true,
            });
            let documents = vec![document.clone()];
            if publish.replace {
                let request = ReplaceSnapshotRequest {
                    group,
                    documents,
                    options,
                };
                let _: PublishResponse = self.call(REPLACE, request).await?;
            } else {
                let request = PatchSnapshotRequest {
                    group,
                    documents,
                    options,
                };
                let _: PublishResponse = self.call(PATCH, request).await?;
            }
        }
        Ok(())
    }

    /// The number of open streams of all nodes.
    pub(super) async fn open_streams(&mut self) -> Result<usize> {
        let listed: ListNodesResponse = self.call(LIST_NODES, ListNodesRequest {}).await?;
        Ok(listed.nodes.iter().map(|node| node.streams.len()).sum())
    }

    async fn call<Req, Resp>(&mut self, path: &'static str, request: Req) -> Result<Resp>
    where
        Req: Message + 'static,
        Resp: Message + Default + 'static,
    {
        self.0.ready().await?;
        let codec = ProstCodec::<Req, Resp>::default();
        let path = PathAndQuery::from_static(path);
        let response = self.0.unary(Request::new(request), path, codec).await?;
        Ok(response.into_inner())
    }
}

fn document(publish: &Publish<'_>) -> Document {
    let any = |item: &Item| Any {
        type_url: item.type_url.to_owned(),
        value: item.value.clone(),
    };
    let response = DiscoveryResponse {
        resources: publish.items.iter().map(any).collect(),
        ..DiscoveryResponse::default()
    };
    Document {
        name: "benchmark.binpb".to_owned(),
        content: Bytes::from(response.encode_to_vec()),
        format: Document::BINARY,
    }
}
