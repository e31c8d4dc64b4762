//! The words of a node that refuses something, as they may be kept, logged and shown: without the secrets that it was served.

use crate::{resource::Resource, snapshot::secret_values, text::without_values};

/// Bytes of secrets that are looked through for one text: some thousands with their certificates.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Stands for all that a node says where it has more secrets than are looked through.
const WITHHELD: &str = "[redacted: the node has so many secrets that its words are not searched for them]";

/// The words of a node that was served these secrets, without their values.
pub fn words<'a>(said: &str, served: impl Iterator<Item = &'a Resource>) -> String {
    let (mut values, mut bytes) = (Vec::new(), 0);
    if said.is_empty() {
        return String::new();
    }
    for secret in served {
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
    use prost::Message as _;

    use super::*;
    use crate::resource::{ContentHash, ResourceName, ResourceType, Version, Warming};

    /// A generic secret of this text, as it is published.
    fn secret(text: &str) -> Resource {
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
        let (name, content) = (ResourceName::from("s"), ContentHash::of_texts([text]));
        Resource {
            name,
            version: Version::from(content),
            content,
            aliases: Box::default(),
            ttl: None,
            body: body.encode_to_vec().into(),
            references: Box::default(),
            places: Box::default(),
            warming: Warming::default(),
        }
    }

    #[test]
    fn words_of_a_node_do_not_show_the_secrets_that_it_was_served() {
        let served = [secret("swordfish-1"), secret("swordfish-2")];
        let shown = |said| words(said, served.iter());
        assert_eq!(
            shown("got swordfish-2, not swordfish-3"),
            "got [redacted], not swordfish-3"
        );
        assert_eq!(shown("no such luck"), "no such luck");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn words_are_withheld_where_there_are_too_many_secrets_to_look_through() {
        let large = secret(&"x".repeat(MOST_BYTES / 4));
        let said = "a word";
        assert_eq!(words(said, std::iter::repeat_n(&large, 3)), said);
        assert_eq!(words(said, std::iter::repeat_n(&large, 5)), WITHHELD);
    }
}
