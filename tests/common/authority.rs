//! A certificate authority, and its certificates.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, RevokedCertParams, SanType, date_time_ymd,
};
use time::{Duration, OffsetDateTime};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, and its key.
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
    serial: u64,
}

static MADE: AtomicUsize = AtomicUsize::new(1);

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // Each CA has its own name: a certificate with the name of its issuer would be taken for its own CA.
        let name = format!("CA {}", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for a server on this machine.
    pub(crate) fn server(&self) -> Issued {
        self.issue(&CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned)).unwrap())
    }

    /// Issues a certificate for a client with this identity.
    pub(crate) fn client(&self, uri: &str) -> Issued {
        self.issue(&identified(uri))
    }

    /// Issues an expired certificate for a client.
    pub(crate) fn expired_client(&self, uri: &str) -> Issued {
        self.client_until(uri, date_time_ymd(2021, 1, 1))
    }

    /// Issues a certificate for a client that expires at this time.
    pub(crate) fn client_until(&self, uri: &str, not_after: OffsetDateTime) -> Issued {
        let mut params = identified(uri);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = not_after;
        self.issue(&params)
    }

    /// A revocation list with these certificates.
    pub(crate) fn crl(&self, revoked: &[&Issued]) -> String {
        let now = OffsetDateTime::now_utc();
        let entry = |issued: &&Issued| RevokedCertParams {
            serial_number: issued.serial.into(),
            revocation_time: now - Duration::minutes(1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - Duration::minutes(1),
            next_update: now + Duration::days(7),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let serial = MADE.fetch_add(1, Ordering::Relaxed) as u64;
        let mut params = params.clone();
        params.serial_number = Some(serial.into());
        Issued {
            serial,
            cert: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn identified(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    params
}

// === impl Issued ===

impl Issued {
    /// Writes the certificate as `NAME.pem` and `NAME.key`, each renamed into its place.
    pub(crate) fn write(&self, dir: &Path, name: &str) {
        for (ending, text) in [("key", &self.key), ("pem", &self.cert)] {
            let path = dir.join(format!("{name}.{ending}"));
            let beside = dir.join(format!(".{name}.{ending}"));
            fs::write(&beside, text).unwrap();
            fs::rename(beside, path).unwrap();
        }
    }
}
