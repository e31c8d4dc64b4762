//! The way to the session: makes the streams of an Envoy, the first one and those after it was cut off.
//!
//! Names of the session that may change are used here and in `fixture`, nowhere else.

use std::sync::Arc;

use super::super::fixture::Stream;
use crate::{
    node::{Locality, Node},
    protocol::{Features, Policy, Scope, Session, Variant},
};

/// What became of the control plane while an Envoy was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlPlane {
    /// It knows what the node ACKed last.
    KeptRunning,
    /// It knows what the node says, and nothing else.
    Restarted,
}

/// The first stream of an Envoy.
pub(super) fn connect(variant: Variant) -> Stream {
    Stream::featured(variant, Policy::default(), features(variant)).with_lineage()
}

/// The next stream of the same Envoy; `number` tells the streams apart.
pub(super) fn reconnect(old: &Stream, variant: Variant, control_plane: ControlPlane, number: u32) -> Stream {
    let name = format!("s{number}").into();
    let policy = Arc::new(Policy::default());
    let session = Session::new(variant, Scope::Aggregated, policy, name, "node".into());
    let session = session.with_features(features(variant));
    let session = match control_plane {
        ControlPlane::KeptRunning => remembering(old, session),
        ControlPlane::Restarted => session,
    };
    old.successor(session)
}

fn remembering(old: &Stream, session: Session) -> Session {
    session.recall(old.session.memory())
}

/// As they are read off the node, so that nothing here need be told what an Envoy can take.
fn features(variant: Variant) -> Features {
    let node = Node {
        id: "node".into(),
        cluster: String::new(),
        locality: Locality::default(),
        metadata: prost_types::Struct::default(),
        user_agent: "envoy 1.40.0".into(),
        client_features: Vec::new(),
    };
    Features::of(&node, variant, false)
}
