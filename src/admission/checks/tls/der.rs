//! Reads as much DER as finding the public part of a key takes.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// A sequence of values.
#[derive(Clone, Copy)]
pub(super) struct Reader<'d>(pub(super) &'d [u8]);

// === impl Reader ===

impl<'d> Reader<'d> {
    /// The next value, with its tag.
    pub(super) fn any(&mut self) -> Option<(u8, &'d [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (len, rest) = match *first {
            short if short < 0x80 => (usize::from(short), rest),
            long => {
                let count = usize::from(long & 0x7f);
                if count == 0 || count > 4 {
                    return None;
                }
                let (bytes, rest) = rest.split_at_checked(count)?;
                let len = bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
                (len, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.any()
            .filter(|(found, _)| *found == tag)
            .map(|(_, content)| content)
    }

    /// The next value, as a sequence.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.expect(SEQUENCE).map(Self)
    }
}
