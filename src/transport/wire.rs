//! Protobuf's wire format, as far as requests are read without decoding them: fields of the two kinds that requests have.
//!
//! It takes less than a decoder does and nothing that a decoder would not: what is not read here is left to one.

/// Wire types of protobuf that a request's own fields have.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// What it holds; nothing of a number, which no field that is read here is.
    value: Option<&'a [u8]>,
}

// === impl Field ===

impl<'a> Field<'a> {
    /// The next field. `None` where there is none, where the message is broken, and where only a decoder will do.
    pub(super) fn next(rest: &mut &'a [u8]) -> Option<Self> {
        let key = varint(rest)?;
        let number = u64::from(u32::try_from(key).ok()? >> 3);
        let value = match key & 7 {
            BYTES => {
                let len = usize::try_from(varint(rest)?).ok()?;
                let (value, after) = rest.split_at_checked(len)?;
                *rest = after;
                Some(value)
            }
            VARINT => {
                varint(rest)?;
                None
            }
            _ => return None,
        };
        (number != 0).then_some(Self { number, value })
    }

    pub(super) const fn bytes(self) -> Option<&'a [u8]> {
        self.value
    }

    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.value?).ok()
    }
}

/// The id of an encoded `envoy.config.core.v3.Node`.
pub(super) fn node_id(mut node: &[u8]) -> Option<&str> {
    let mut id = "";
    while !node.is_empty() {
        let field = Field::next(&mut node)?;
        if field.number == 1 {
            id = field.text()?;
        }
    }
    Some(id)
}

/// A number of at most 64 bits.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        if shift == 63 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
