//! Bytes as decisions and as texts. Whatever is asked of bytes that have run out is zero or empty.

/// What is left of the bytes.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// One of these.
    pub(super) fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[usize::from(self.byte()) % of.len()]
    }

    /// As many bytes as a byte says.
    pub(super) fn part(&mut self) -> &'a [u8] {
        let len = self.byte().into();
        self.take(len)
    }

    /// As many bytes as two bytes say.
    pub(super) fn long_part(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()) << 8 | usize::from(self.byte());
        self.take(len)
    }

    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Texts that stand in lines; none where the bytes are no text.
pub(super) fn lines<const N: usize>(bytes: &[u8]) -> Option<[&str; N]> {
    let mut lines = std::str::from_utf8(bytes).ok()?.split('\n');
    let lines = [(); N].map(|()| lines.next().unwrap_or_default());
    Some(lines)
}
