//! The request that is most of all requests: an ACK whose subscription is that of the request before.

use super::{Session, Variant};

/// What an ACK says, as far as it is known without decoding the rest.
#[derive(Clone, Copy, Debug)]
pub struct Ack<'a> {
    /// The node's id, where the request has a node.
    pub node_id: Option<&'a str>,
    /// `type_url`.
    pub type_url: &'a str,
    /// SotW: `version_info`.
    pub version: &'a str,
    /// `response_nonce`.
    pub nonce: &'a str,
    /// Of the names as they are written.
    pub list: ListPrint,
}

/// A hash of a list of names. Equal lists have equal ones; a client that made two lists alike would fool itself alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPrint(pub u64);

impl Session {
    /// Takes an ACK that changes nothing else. Gives `false`, and has done nothing, where it does more than that or may be
    /// wrong: then the whole request is to be taken.
    pub fn on_ack(&mut self, ack: &Ack<'_>) -> bool {
        let Ok(kind) = self.accept(ack.node_id, ack.type_url) else {
            return false;
        };
        let Ok(index) = self.types.binary_search_by(|state| state.kind.cmp(&kind)) else {
            return false;
        };
        let state = &self.types[index];
        let Some(answered) = state.in_flight.find(ack.nonce) else {
            return false;
        };
        let is_plain = match self.variant {
            // S-6b: with another version it may be no ACK.
            Variant::Sotw => state.list == Some(ack.list) && answered.delivery.version.as_str() == ack.version,
            Variant::Delta => true,
        };
        if is_plain {
            self.on_nonce(index, ack.nonce, ack.version, None);
        }
        is_plain
    }

    /// Notes the list of the request that was just taken whole, so that ACKs which repeat it are known by it.
    pub fn remember_list(&mut self, type_url: &str, list: ListPrint) {
        if let Ok(kind) = self.accept(None, type_url)
            && let Ok(index) = self.types.binary_search_by(|state| state.kind.cmp(&kind))
        {
            self.types[index].list = Some(list);
        }
    }
}
