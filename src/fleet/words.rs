//! Messages of NACKs, fit to be kept, logged and shown: without the values of the secrets that the node was served.

use super::StreamGuard;
use crate::{
    resource::Resource,
    snapshot::{TypeResources, secret_values},
    text::{head, without_values},
};

/// Bytes of secrets that are searched for in one message: enough for some thousand secrets with certificates.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of a message that the log may show, even if the records keep fewer.
const LOGGED: usize = 1024;

/// Replaces the message of a node that subscribes to more secrets than are searched for.
const WITHHELD: &str = "[redacted: the node has so many secrets that its words are not searched for them]";

// === impl StreamGuard ===

impl StreamGuard {
    /// A node's message, cut to the part that is kept, without the values of the secrets in `sets`. If the sets are too
    /// large to search for, only the secrets that `asks_for` accepts are.
    #[must_use]
    pub fn words(&self, said: &str, sets: &[&TypeResources], asks_for: impl Fn(&Resource) -> bool) -> String {
        // Up to one more character, so that a later cut can see that text is missing.
        let most = self.fleet.limits.nack_message_bytes.max(LOGGED).saturating_add(4);
        words(head(said, most), sets, asks_for)
    }
}

fn words(said: &str, sets: &[&TypeResources], asks_for: impl Fn(&Resource) -> bool) -> String {
    let all: usize = sets.iter().map(|set| set.bytes()).sum();
    let counts = |secret: &Resource| all <= MOST_BYTES || asks_for(secret);
    let (mut values, mut bytes) = (Vec::new(), 0);
    for secret in sets.iter().flat_map(|set| set.iter()).filter(|secret| counts(secret)) {
        bytes += secret.body.len();
        if bytes > MOST_BYTES {
            return WITHHELD.to_owned();
        }
        values.extend(secret_values(&secret.body));
    }
    without_values(said, values).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message as _;

    use super::*;
    use crate::resource::{ContentHash, ResourceName, ResourceType, Version, Warming};

    /// A published generic secret with this text.
    fn secret(name: &str, text: &str) -> Arc<Resource> {
        let field = |number: u8, value: &[u8]| {
            let mut field = vec![number << 3 | 2];
            prost::encoding::encode_varint(value.len() as u64, &mut field);
            field.extend(value);
            field
        };
        let body = prost_types::Any {
            type_url: ResourceType::Secret.type_url().to_owned(),
            value: field(5, &field(1, &field(3, text.as_bytes()))),
        };
        let (name, content) = (ResourceName::from(name), ContentHash::of_texts([text]));
        Arc::new(Resource {
            name,
            version: Version::from(content),
            content,
            aliases: Box::default(),
            ttl: None,
            body: body.encode_to_vec().into(),
            references: Box::default(),
            places: Box::default(),
            warming: Warming::default(),
        })
    }

    fn set(secrets: &[Arc<Resource>]) -> TypeResources {
        TypeResources::new(secrets.to_vec()).unwrap()
    }

    #[test]
    fn words_of_a_node_do_not_show_the_secrets_that_it_was_served() {
        let (now, before) = (set(&[secret("s", "swordfish-2")]), set(&[secret("s", "swordfish-1")]));
        let shown = |said| words(said, &[&before, &now], |_| false);
        assert_eq!(
            shown("got swordfish-2, was swordfish-1, not swordfish-3"),
            "got [redacted], was [redacted], not swordfish-3"
        );
        assert_eq!(shown("no such luck"), "no such luck");
    }

    #[test]
    fn of_too_many_secrets_only_requested_ones_are_searched_for_and_beyond_the_limit_words_are_withheld() {
        let large = "x".repeat(MOST_BYTES / 2);
        let all = set(&[
            secret("a", "swordfish-a"),
            secret("b", "swordfish-b"),
            secret("c", &large),
            secret("d", &large),
        ]);
        let shown = |asked: &[&str]| {
            let asks_for = |secret: &Resource| asked.contains(&secret.name.as_str());
            words("swordfish-a and swordfish-b", &[&all], asks_for)
        };
        assert_eq!(shown(&["a"]), "[redacted] and swordfish-b");
        assert_eq!(shown(&["a", "b", "c"]), "[redacted] and [redacted]");
        assert_eq!(shown(&["c", "d"]), WITHHELD);
    }
}
