//! `chancery certs demo`: a CA and certificates for trying TLS, not for use: anybody may read the keys in the directory.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use zeroize::Zeroizing;

use super::exit::{Exit, Failure};

#[derive(Args, Debug)]
pub(super) struct Certs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a CA, and certificates of a server, an Envoy and an administrator, for trying TLS
    Demo(Demo),
}

#[derive(Args, Debug)]
struct Demo {
    /// The directory for the files; existing files are not overwritten
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A name or address of the server, in addition to localhost, 127.0.0.1 and ::1; may be given more than once
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// The identity of the Envoy
    #[arg(long, value_name = "URI", default_value = "spiffe://demo/ns/demo/sa/envoy")]
    client: String,
    /// The identity of the administrator
    #[arg(long, value_name = "URI", default_value = "spiffe://demo/ns/ops/sa/admin")]
    admin_client: String,
}

const YEAR_DAYS: i64 = 365;

impl Certs {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Demo(demo) => demo.run(),
        }
    }
}

impl Demo {
    fn run(self) -> Result<Exit, Failure> {
        fs::create_dir_all(&self.dir)
            .map_err(|error| Failure::usage(format!("--dir {}: {error}", self.dir.display())))?;
        let authority = authority().map_err(|error| malformed(&error))?;
        let mut server: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        server.extend(self.name.iter().cloned());
        let made = [
            ("server", names(&server)?),
            ("client", uri(&self.client)?),
            ("admin", uri(&self.admin_client)?),
        ];
        write(&self.dir.join("ca.pem"), &authority.pem(), 0o644)?;
        for (name, params) in made {
            let (cert, key) = issue(&params, &authority).map_err(|error| malformed(&error))?;
            write(&self.dir.join(format!("{name}.pem")), &cert, 0o644)?;
            write(&self.dir.join(format!("{name}.key")), &key, 0o600)?;
        }
        Ok(Exit::Ok)
    }
}

fn malformed(error: &rcgen::Error) -> Failure {
    Failure::usage(format!("no certificate can be made: {error}"))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = dated(CertificateParams::default());
    params.distinguished_name.push(DnType::CommonName, "Chancery demo CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn issue(
    params: &CertificateParams,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> Result<(String, Zeroizing<String>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, authority)?;
    Ok((cert.pem(), Zeroizing::new(key.serialize_pem())))
}

fn names(names: &[String]) -> Result<CertificateParams, Failure> {
    let mut params = dated(CertificateParams::default());
    for name in names {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                name.clone()
                    .try_into()
                    .map_err(|error| Failure::usage(format!("--name {name}: {error}")))?,
            ),
        };
        params.subject_alt_names.push(name);
    }
    // For a client too: the command line on the same machine uses it.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn uri(uri: &str) -> Result<CertificateParams, Failure> {
    let mut params = dated(CertificateParams::default());
    let name = uri
        .try_into()
        .map_err(|error| Failure::usage(format!("{uri}: {error}")))?;
    params.subject_alt_names.push(SanType::URI(name));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Valid for a year from yesterday, for clocks that are slow.
fn dated(mut params: CertificateParams) -> CertificateParams {
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::days(YEAR_DAYS);
    params
}

/// Creates a file; a key is readable for its owner alone from the start.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AlreadyExists {
            ": remove it first, or choose another directory"
        } else {
            ""
        };
        Failure::usage(format!("{}: {error}{hint}", path.display()))
    })
}
