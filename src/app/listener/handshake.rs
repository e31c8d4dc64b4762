//! TLS handshakes: each in its own task, with a time limit.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{AlertDescription, CertificateError};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{
    Accepted, Terms,
    crowd::Place,
    tenure::{Followed, Tenure},
};
use crate::{
    connection::{ClientCertificate, Connection},
    metrics::{HandshakeFailure, Label as _},
    tls::client_certificate,
};

/// Returns the connection if the handshake succeeds in time. Failures are counted, and one a second is logged.
pub(super) async fn shake_hands(
    stream: TcpStream,
    peer: SocketAddr,
    followed: Followed,
    place: Place,
    terms: Terms,
) -> Option<Accepted> {
    let accepting = TlsAcceptor::from(followed.tls.config()).accept(stream);
    let seat = Arc::clone(place.seat());
    let accepting = tokio::select! {
        accepted = timeout(terms.patience.opening, accepting) => accepted,
        // Another connection has its place, and was counted.
        () = seat.given_up() => return None,
    };
    let shaken = match accepting {
        Ok(Ok(stream)) => certificate(&stream).map(|certificate| (stream, certificate)),
        Ok(Err(error)) => Err((handshake_failure(&error), error.to_string())),
        Err(_) => Err((HandshakeFailure::Timeout, "it took too long".to_owned())),
    };
    match shaken {
        Ok((stream, certificate)) => {
            let tenure = certificate.as_ref().map(|it| Tenure::new(followed, it.not_after));
            let connection = Connection {
                peer,
                certificate,
                seat,
            };
            Some(Accepted::secure(stream, connection, tenure, place, &terms))
        }
        Err((failure, reason)) => {
            terms.metrics.handshake_failed(terms.port, failure);
            debug!(listener = terms.port.text(), %peer, ?failure, %reason, "TLS handshake failed");
            None
        }
    }
}

fn certificate(stream: &TlsStream<TcpStream>) -> Result<Option<Arc<ClientCertificate>>, (HandshakeFailure, String)> {
    let (_, session) = stream.get_ref();
    let Some(own) = session.peer_certificates().and_then(|chain| chain.first()) else {
        return Ok(None);
    };
    match client_certificate(own) {
        Ok(certificate) => Ok(Some(Arc::new(certificate))),
        Err(reason) => Err((HandshakeFailure::BadCertificate, reason)),
    }
}

/// The reason why a handshake failed, as far as the error shows it.
fn handshake_failure(error: &io::Error) -> HandshakeFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::NoCertificatesPresented) => HandshakeFailure::NoCertificate,
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => HandshakeFailure::Expired,
            CertificateError::UnknownIssuer => HandshakeFailure::UnknownCa,
            CertificateError::Revoked => HandshakeFailure::Revoked,
            CertificateError::UnknownRevocationStatus => HandshakeFailure::UnknownRevocation,
            _ => HandshakeFailure::BadCertificate,
        },
        Some(rustls::Error::InvalidCertRevocationList(_)) => HandshakeFailure::UnknownRevocation,
        Some(rustls::Error::PeerIncompatible(_)) => HandshakeFailure::Version,
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        )) => HandshakeFailure::Distrusted,
        Some(_) => HandshakeFailure::Protocol,
        None => HandshakeFailure::Closed,
    }
}
