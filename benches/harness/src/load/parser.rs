//! Parses discovery responses by hand: version, type and nonce are kept, resources are skipped by their length.
//!
//! So the generator's cost hardly depends on the size of a push, and no resource is copied.

use anyhow::{Result, bail};

/// One response, without its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) version: Vec<u8>,
    pub(crate) type_url: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) resources: usize,
    /// The length of the gRPC message.
    pub(crate) bytes: usize,
}

/// Parses chunks of any size.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    current: Received,
    /// Unread bytes of the message; 0 between messages.
    remaining: usize,
    /// Remaining bytes of a skipped field.
    skip: usize,
    /// The beginning of a gRPC prefix or a field's key and length.
    head: Vec<u8>,
    /// The field that is being kept, and the number of its missing bytes.
    keep: Option<(u64, usize)>,
}

impl Parser {
    /// Calls `on_message` for every message that ends in `chunk`.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut on_message: impl FnMut(&Received)) -> Result<()> {
        while !chunk.is_empty() {
            if self.remaining == 0 {
                chunk = self.prefix(chunk)?;
            } else if self.skip > 0 {
                let len = self.skip.min(chunk.len());
                self.skip -= len;
                self.remaining -= len;
                chunk = &chunk[len..];
            } else if let Some((field, missing)) = self.keep {
                let len = missing.min(chunk.len());
                let kept = match field {
                    1 => &mut self.current.version,
                    4 => &mut self.current.type_url,
                    _ => &mut self.current.nonce,
                };
                kept.extend_from_slice(&chunk[..len]);
                self.keep = (missing > len).then_some((field, missing - len));
                self.remaining -= len;
                chunk = &chunk[len..];
            } else {
                self.head.push(chunk[0]);
                self.remaining -= 1;
                chunk = &chunk[1..];
                self.field()?;
            }
            if self.remaining == 0 && self.current.bytes > 0 {
                on_message(&self.current);
                self.current.version.clear();
                self.current.type_url.clear();
                self.current.nonce.clear();
                self.current.resources = 0;
                self.current.bytes = 0;
            }
        }
        Ok(())
    }

    fn prefix<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8]> {
        let len = (5 - self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..len]);
        if let [compressed, a, b, c, d] = self.head[..] {
            if compressed != 0 {
                bail!("a compressed response, which was not asked for");
            }
            self.remaining = u32::from_be_bytes([a, b, c, d]) as usize;
            self.current.bytes = self.remaining;
            self.head.clear();
        }
        Ok(&chunk[len..])
    }

    /// Processes `head` once it has a whole key and length.
    fn field(&mut self) -> Result<()> {
        let Some((key, used)) = varint(&self.head) else {
            return self.bounded();
        };
        let Some((value, _)) = varint(&self.head[used..]) else {
            return self.bounded();
        };
        let (field, wire_type) = (key >> 3, key & 7);
        self.head.clear();
        match wire_type {
            // A number has no content.
            0 => return Ok(()),
            2 => {}
            other => bail!("field {field} has wire type {other}"),
        }
        let len = usize::try_from(value)?;
        if len > self.remaining {
            bail!("field {field} is longer than its message");
        }
        match field {
            1 | 4 | 5 => self.keep = (len > 0).then_some((field, len)),
            2 => {
                self.current.resources += 1;
                self.skip = len;
            }
            _ => self.skip = len,
        }
        Ok(())
    }

    fn bounded(&self) -> Result<()> {
        if self.head.len() > 20 || self.remaining == 0 {
            bail!("a field's key or length does not end");
        }
        Ok(())
    }
}

/// A complete varint at the start of `bytes`, and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{
        content,
        wire::{Any, DeltaDiscoveryResponse, DiscoveryResponse, Resource},
    };

    fn framed(message: &impl prost::Message) -> Vec<u8> {
        let body = message.encode_to_vec();
        let mut framed = vec![0];
        framed.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        framed.extend(body);
        framed
    }

    fn any(number: usize) -> Any {
        let item = content::cluster(number, 1, 370);
        Any {
            type_url: item.type_url.to_owned(),
            value: item.value,
        }
    }

    fn received(chunks: impl Iterator<Item = Vec<u8>>) -> Vec<Received> {
        let (mut parser, mut all) = (Parser::default(), Vec::new());
        for chunk in chunks {
            parser.feed(&chunk, |message| all.push(message.clone())).unwrap();
        }
        all
    }

    #[test]
    fn responses_are_read_however_they_are_cut() {
        let sotw = DiscoveryResponse {
            version_info: "17".to_owned(),
            resources: (0..3).map(any).collect(),
            type_url: "t".to_owned(),
            nonce: "n-1".to_owned(),
        };
        let delta = DeltaDiscoveryResponse {
            system_version_info: "18".to_owned(),
            resources: vec![Resource {
                version: "v".to_owned(),
                resource: Some(any(1)),
                name: "cluster-1".to_owned(),
            }],
            type_url: "t".to_owned(),
            nonce: "n-2".to_owned(),
        };
        let bytes = [framed(&sotw), framed(&delta)].concat();
        for size in [1, 2, 7, 100, bytes.len()] {
            let all = received(bytes.chunks(size).map(<[u8]>::to_vec));
            assert_eq!(all.len(), 2, "in pieces of {size}");
            assert_eq!(
                (&*all[0].version, &*all[0].nonce, all[0].resources),
                (&b"17"[..], &b"n-1"[..], 3)
            );
            assert_eq!(
                (&*all[1].version, &*all[1].nonce, all[1].resources),
                (&b"18"[..], &b"n-2"[..], 1)
            );
            assert_eq!(all[0].bytes, sotw.encoded_len());
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut parser = Parser::default();
        assert!(parser.feed(&[0, 0, 0, 0, 3, 0x0a, 0x7f, 0], |_| {}).is_err());
    }
}
