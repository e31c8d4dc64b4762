//! Long answers in pages: a page ends behind some name, and its token says which. What comes and goes between two pages is in
//! neither or in one, never in both.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tonic::Status;

/// Items of a page where the caller does not say.
const DEFAULT: usize = 1000;
/// Items of a page at most, whatever the caller says.
const MOST: usize = 10_000;

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The last name of the page before.
    pub(super) after: Option<String>,
    /// Items of this one.
    pub(super) size: usize,
}

// === impl Page ===

impl Page {
    /// Of what a request says; 0 for the default size, an empty token for the first page.
    pub(super) fn of(size: u32, token: &str) -> Result<Self, Status> {
        let size = match size as usize {
            0 => DEFAULT,
            size => size.min(MOST),
        };
        Ok(Self {
            after: (!token.is_empty()).then(|| read(token)).transpose()?,
            size,
        })
    }

    /// The token of the page behind this name, where there is one.
    pub(super) fn next(last: Option<&str>, more: bool) -> String {
        match last.filter(|_| more) {
            Some(last) => BASE64_URL_SAFE_NO_PAD.encode(last),
            None => String::new(),
        }
    }
}

fn read(token: &str) -> Result<String, Status> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Status::invalid_argument("page_token: not one that an answer gave"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_leads_behind_the_last_name() {
        let token = Page::next(Some("node/ä"), true);
        assert!(token.is_ascii(), "{token}");
        let page = Page::of(7, &token).unwrap();
        assert_eq!((page.after.as_deref(), page.size), (Some("node/ä"), 7));
        assert_eq!(Page::next(Some("node"), false), "");
    }

    #[test]
    fn pages_have_a_size_whatever_is_asked_for() {
        let size = |asked| Page::of(asked, "").unwrap().size;
        assert_eq!((size(0), size(1), size(u32::MAX)), (DEFAULT, 1, MOST));
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for token in ["!", "_w"] {
            let status = Page::of(0, token).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{token}");
        }
    }
}
