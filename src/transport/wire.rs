//! Protobuf's wire format, as far as requests are read without decoding. Accepts what a decoder accepts, but does not
//! look into messages that are not used.

/// Wire types of protobuf.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const GROUP: u64 = 3;
const END_GROUP: u64 = 4;
const FIXED_32: u64 = 5;

/// The deepest nesting of unknown groups, as in decoders.
const DEPTH: usize = 100;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A value of another wire type, which no used field has.
    Other,
}

/// The error for bytes that are not the expected message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// The bytes end within a field.
    #[error("the message ends within a field")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a number has more than 64 bits")]
    Varint,
    /// A key with an impossible number or wire type.
    #[error("a key is not valid")]
    Key,
    /// A field has a wrong wire type.
    #[error("field {0} has a wrong wire type")]
    WireType(u64),
    /// A text is not UTF-8.
    #[error("field {0} is not UTF-8")]
    Text(u64),
    /// Groups are nested too deep.
    #[error("groups are nested too deep")]
    Depth,
}

// === impl Field ===

impl<'a> Field<'a> {
    /// The next field; `None` at the end.
    #[inline]
    pub(super) fn next(rest: &mut &'a [u8]) -> Result<Option<Self>, Malformed> {
        if rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = key(rest)?;
        let value = match wire_type {
            VARINT => Value::Number(varint(rest)?),
            BYTES => {
                let len = usize::try_from(varint(rest)?).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(take(rest, len)?)
            }
            wire_type => {
                skip(rest, number, wire_type, DEPTH)?;
                Value::Other
            }
        };
        Ok(Some(Self { number, value }))
    }

    pub(super) const fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Number(_) | Value::Other => Err(Malformed::WireType(self.number)),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Text(self.number))
    }

    /// A `uint64`, or an `int64` as its bits.
    pub(super) const fn uint64(self) -> Result<u64, Malformed> {
        match self.value {
            Value::Number(number) => Ok(number),
            Value::Bytes(_) | Value::Other => Err(Malformed::WireType(self.number)),
        }
    }

    /// An `int32`. Longer numbers are truncated, as in decoders.
    pub(super) const fn int32(self) -> Result<i32, Malformed> {
        match self.value {
            Value::Number(number) => Ok(number as u32 as i32),
            Value::Bytes(_) | Value::Other => Err(Malformed::WireType(self.number)),
        }
    }
}

fn key(rest: &mut &[u8]) -> Result<(u64, u64), Malformed> {
    let key = u32::try_from(varint(rest)?).map_err(|_| Malformed::Key)?;
    let (number, wire_type) = (u64::from(key >> 3), u64::from(key & 7));
    if number == 0 || wire_type > FIXED_32 {
        return Err(Malformed::Key);
    }
    Ok((number, wire_type))
}

/// Skips the value of an unused field.
fn skip(rest: &mut &[u8], number: u64, wire_type: u64, depth: usize) -> Result<(), Malformed> {
    match wire_type {
        VARINT => varint(rest).map(drop),
        FIXED_64 => take(rest, 8).map(drop),
        FIXED_32 => take(rest, 4).map(drop),
        BYTES => {
            let len = usize::try_from(varint(rest)?).map_err(|_| Malformed::Truncated)?;
            take(rest, len).map(drop)
        }
        GROUP => {
            let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
            loop {
                match key(rest)? {
                    (inner, END_GROUP) if inner == number => return Ok(()),
                    (inner, wire_type) => skip(rest, inner, wire_type, depth)?,
                }
            }
        }
        // The end of a group that did not begin, or an undefined wire type.
        _ => Err(Malformed::Key),
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (value, after) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
    *rest = after;
    Ok(value)
}

/// A number of at most 64 bits. Almost all numbers are one byte.
#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    if let [byte @ ..0x80, after @ ..] = *rest {
        *rest = after;
        return Ok(u64::from(*byte));
    }
    long_varint(rest)
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(Malformed::Truncated)?;
        *rest = after;
        if shift == 63 && *byte > 1 {
            return Err(Malformed::Varint);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed::Varint)
}
