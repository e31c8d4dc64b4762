//! Keeps web pages out of the HTTP port: programs may call it, pages that a browser shows may not.
//!
//! A browser sends requests to any address that a page names, loopback included. `Origin` and `Sec-Fetch-Site` reveal
//! such a request, and so does `Host` if a DNS name was made to resolve to this port. Bodies must be declared as JSON:
//! a page can send those to another site only after a preflight request, which is not answered.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Method, StatusCode, header};

use super::Failure;
use crate::metrics::HttpRefusal;

/// The names under which a port may be called.
#[derive(Clone, Debug)]
pub struct Guard {
    bound: SocketAddr,
    /// Allowed names in lower case, besides the loopback's. `Host` is checked if there are any, or on the loopback.
    allowed: Vec<String>,
}

/// The ports that a browser omits from `Host`.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

// === impl Guard ===

impl Guard {
    /// The guard of a port that is bound to `bound` and may be called by the names in `allowed`.
    #[must_use]
    pub fn new(bound: SocketAddr, allowed: &[String]) -> Self {
        Self {
            bound,
            allowed: allowed.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), (HttpRefusal, Failure)> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = text("host").unwrap_or_default();
        if let Some(site) = text("sec-fetch-site").filter(|site| !matches!(*site, "same-origin" | "none")) {
            let message = format!("sec-fetch-site {site:?}: requests from pages of other sites are refused");
            return Err(refused(HttpRefusal::Origin, StatusCode::FORBIDDEN, message));
        }
        if let Some(origin) = text("origin").filter(|origin| !is_own(origin, host)) {
            let message = format!(
                "origin {:?}: requests from pages of other sites are refused",
                cut(origin)
            );
            return Err(refused(HttpRefusal::Origin, StatusCode::FORBIDDEN, message));
        }
        if !self.is_called(host) {
            let message = format!(
                "host {:?} is not a name of this port: http.allowed_hosts \
                 (--http-allowed-hosts) adds names",
                cut(host)
            );
            return Err(refused(HttpRefusal::Host, StatusCode::MISDIRECTED_REQUEST, message));
        }
        if has_body(method, headers) && !is_json(headers) {
            let given = text("content-type").map_or_else(
                || "no content-type".to_owned(),
                |given| format!("content-type {:?}", cut(given)),
            );
            let message =
                format!("{given}: expected application/json (curl -H 'content-type: application/json', or --json)");
            return Err(refused(
                HttpRefusal::ContentType,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                message,
            ));
        }
        Ok(())
    }

    /// Returns true if a program may call the port by this `Host`. An Envoy that polls sends the name of its cluster,
    /// without a port; a browser omits the port only if it is a default one.
    fn is_called(&self, host: &str) -> bool {
        let is_checked = self.bound.ip().is_loopback() || !self.allowed.is_empty();
        if host.is_empty() || !is_checked {
            return true;
        }
        let (name, port) = split(host);
        let name = name.to_ascii_lowercase();
        if is_own_name(&name)
            || self
                .allowed
                .iter()
                .any(|allowed| *allowed == name || allowed.eq_ignore_ascii_case(host))
        {
            return true;
        }
        let by_browser = port.is_some() || DEFAULT_PORTS.contains(&self.bound.port());
        !by_browser
    }
}

fn refused(reason: HttpRefusal, status: StatusCode, message: String) -> (HttpRefusal, Failure) {
    (reason, Failure::new(status, message))
}

/// Returns true if the origin is this port.
fn is_own(origin: &str, host: &str) -> bool {
    let authority = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    !host.is_empty() && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// The name, and the port if there is one.
fn split(host: &str) -> (&str, Option<&str>) {
    if let Some(rest) = host.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((address, port)) => (address, port.strip_prefix(':')),
            None => (host, None),
        };
    }
    match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    }
}

/// Returns true for a name of the loopback and for any IP address: only DNS names can be rebound to another address.
fn is_own_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

/// Returns true if a request has or may have a body.
fn has_body(method: &Method, headers: &HeaderMap) -> bool {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .map(|length| length.as_bytes() != b"0");
    length.unwrap_or_else(|| headers.contains_key(header::TRANSFER_ENCODING)) || method == Method::POST
}

/// Returns true for `application/json`, with or without parameters, and for types that end in `+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
    let media = given
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// The part of a header that is shown.
fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn guard(bound: &str, allowed: &[&str]) -> Guard {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        Guard::new(bound.parse().unwrap(), &allowed)
    }

    pub(super) fn check(guard: &Guard, method: &Method, headers: &[(&'static str, &str)]) -> Option<HttpRefusal> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        guard.check(method, &headers.collect()).err().map(|(reason, _)| reason)
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let guard = guard("127.0.0.1:18002", &[]);
        let from = |name: &'static str, value: &str| {
            check(
                &guard,
                &Method::POST,
                &[("host", "127.0.0.1:18002"), JSON, (name, value)],
            )
        };
        for origin in [
            "http://evil.example",
            "http://127.0.0.1:8000",
            "http://localhost:18002",
            "null",
            "",
            "file://",
            "http://127.0.0.1:18002.evil.example",
        ] {
            assert_eq!(from("origin", origin), Some(HttpRefusal::Origin), "{origin}");
        }
        assert_eq!(from("origin", "http://127.0.0.1:18002"), None);
        assert_eq!(from("origin", "HTTP://127.0.0.1:18002"), Some(HttpRefusal::Origin));
        for (site, refused) in [
            ("cross-site", Some(HttpRefusal::Origin)),
            ("same-site", Some(HttpRefusal::Origin)),
            ("same-origin", None),
            ("none", None),
        ] {
            assert_eq!(from("sec-fetch-site", site), refused, "{site}");
        }
    }

    #[test]
    fn a_rebound_dns_name_is_refused_and_the_cluster_name_of_an_envoy_is_not() {
        let loopback = guard("127.0.0.1:18002", &[]);
        let host = |guard: &Guard, host: &str| check(guard, &Method::GET, &[("host", host)]);
        for name in [
            "127.0.0.1:18002",
            "127.1.2.3",
            "localhost:18002",
            "LOCALHOST",
            "a.localhost:1",
            "[::1]:18002",
            "10.0.0.1:18002",
            "[2001:db8::1]:18002",
            // Clusters of bootstraps.
            "xds",
            "chancery_rest",
            "xds.example",
        ] {
            assert_eq!(host(&loopback, name), None, "{name}");
        }
        for name in [
            "evil.example:18002",
            "evil:18002",
            "127.0.0.1.evil.example:18002",
            "localhost.evil.example:18002",
        ] {
            assert_eq!(host(&loopback, name), Some(HttpRefusal::Host), "{name}");
        }
        assert_eq!(check(&loopback, &Method::GET, &[]), None);
        let web = guard("[::1]:80", &[]);
        assert_eq!(host(&web, "evil.example"), Some(HttpRefusal::Host));
        let open = guard("0.0.0.0:18002", &[]);
        assert_eq!(host(&open, "chancery.example:18002"), None);
        for bound in ["0.0.0.0:18002", "127.0.0.1:18002"] {
            let named = guard(bound, &["Chancery.example", "other:18002"]);
            assert_eq!(host(&named, "chancery.EXAMPLE:18002"), None);
            assert_eq!(host(&named, "other:18002"), None);
            assert_eq!(host(&named, "other:18003"), Some(HttpRefusal::Host));
            assert_eq!(host(&named, "evil.example:18002"), Some(HttpRefusal::Host));
        }
    }

    #[test]
    fn a_body_must_be_called_json() {
        let guard = guard("127.0.0.1:18002", &[]);
        let long = ("content-length", "5");
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            for media in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "",
                "text/json",
            ] {
                let refused = check(&guard, &method, &[long, ("content-type", media)]);
                assert_eq!(refused, Some(HttpRefusal::ContentType), "{method} {media}");
            }
            for media in [
                "application/json",
                "Application/JSON; charset=utf-8",
                "application/ld+json",
            ] {
                assert_eq!(
                    check(&guard, &method, &[long, ("content-type", media)]),
                    None,
                    "{method} {media}"
                );
            }
            let streamed = [("transfer-encoding", "chunked")];
            assert_eq!(
                check(&guard, &method, &streamed),
                Some(HttpRefusal::ContentType),
                "{method}"
            );
        }
        assert_eq!(check(&guard, &Method::POST, &[]), Some(HttpRefusal::ContentType));
        assert_eq!(check(&guard, &Method::PUT, &[("content-length", "0")]), None);
        assert_eq!(check(&guard, &Method::DELETE, &[]), None);
    }
}
