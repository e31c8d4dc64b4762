//! Pages of long answers: the token of a page is the last name of the page before. An item that appears or vanishes
//! between two pages is in at most one of them.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tonic::Status;

/// The default size of a page.
const DEFAULT: usize = 1000;
/// The largest size of a page.
const MOST: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The last name of the page before; `None` for the first page.
    pub(super) after: Option<String>,
    pub(super) size: usize,
}

// === impl Page ===

impl Page {
    /// The page of a request; size 0 means the default, an empty token the first page.
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

    /// The token of the page after `last`; empty if there is no further page.
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
    name.ok_or_else(|| Status::invalid_argument("page_token: not from an earlier answer"))
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
    fn the_size_of_a_page_is_limited() {
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
