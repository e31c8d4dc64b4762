//! Bytes as decisions and as texts. After the end of the bytes every value is zero or empty.

/// The remaining bytes.
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

    /// Picks one of these.
    pub(super) fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[usize::from(self.byte()) % of.len()]
    }

    /// The next bytes, whose number is in one byte.
    pub(super) fn part(&mut self) -> &'a [u8] {
        let len = self.byte().into();
        self.take(len)
    }

    /// The next bytes, whose number is in two bytes.
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

/// The texts of the lines, or `None` if the bytes are not UTF-8.
pub(super) fn lines<const N: usize>(bytes: &[u8]) -> Option<[&str; N]> {
    let mut lines = std::str::from_utf8(bytes).ok()?.split('\n');
    let lines = [(); N].map(|()| lines.next().unwrap_or_default());
    Some(lines)
}
