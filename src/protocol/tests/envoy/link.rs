//! The link to the session: makes the streams of an Envoy, the first one and those after a cut.
//!
//! Names of the session that may change are used only here and in `fixture`.

use std::sync::Arc;

use super::super::fixture::Stream;
use crate::{
    node::{Locality, Node},
    protocol::{Features, Policy, Scope, Session, Variant},
};

/// The state of the control plane after an Envoy was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlPlane {
    /// The control plane remembers what the node ACKed last.
    KeptRunning,
    /// The control plane knows what the node presents, and nothing else.
    Restarted,
}

/// The first stream of an Envoy.
pub(super) fn connect(variant: Variant) -> Stream {
    Stream::featured(variant, Policy::default(), features(variant)).with_lineage()
}

/// The next stream of the same Envoy; `number` makes its name unique.
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

/// The features of an Envoy, read off its node as for a real one.
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
