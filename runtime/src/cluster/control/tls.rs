//! Who is who on a wire that others can reach: mutual TLS.
//!
//! The head has a certificate authority of its own, whose key never leaves its folder; who joins knows the hash of its
//! certificate from the token file. So nobody else passes for the head, not even a node. Clients prove that they know the
//! cluster's secret: it yields the key of a second authority, with which each makes a certificate for itself. So nobody need
//! be asked for one, and whoever doesn't know the secret gets no further than the handshake.

use super::token::derive;
use crate::cluster::home::{Home, HomeError};
use crate::cluster::secret::{Keys, SecretError, read_private, write_private};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// The name in the head's certificate, wherever it listens.
const HEAD_NAME: &str = "head.rayline";
/// What comes before the 32 bytes of an Ed25519 key in PKCS #8. Source: RFC 8410, §7.
const ED25519_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate can't be made.
    #[error("can't make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A file of the folder can't be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The head can't be reached, or doesn't speak TLS.
    #[error("no head with certificates answers at {address}")]
    Unreachable {
        /// Where it was looked for.
        address: SocketAddr,
        /// What the system, or TLS, said.
        #[source]
        source: io::Error,
    },
    /// Somebody else answers.
    #[error("what answers at {address} is not the head that the token is of: its authority has another hash")]
    OtherHead {
        /// Where.
        address: SocketAddr,
    },
}

impl From<SecretError> for TlsError {
    fn from(error: SecretError) -> Self {
        TlsError::Home(error.into())
    }
}

/// The authority of a head.
pub(super) struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// That of a folder, made where there is none: `ca.pem`, and `ca.key`, which only its owner may read.
    pub fn of(home: &Home, keys: &Keys) -> Result<Authority, TlsError> {
        let params = authority(format!("rayline head {:032x}", keys.cluster.0));
        let (pem_path, key_path) = (home.ca_file(), home.path().join("ca.key"));
        if std::fs::symlink_metadata(&key_path).is_err() {
            let key = KeyPair::generate()?;
            // The certificate of an earlier key says nothing.
            let _ = std::fs::remove_file(&pem_path);
            write_private(&pem_path, &params.self_signed(&key)?.pem())?;
            write_private(&key_path, &key.serialize_pem())?;
        }
        let pem = read_private(&pem_path)?;
        let key = KeyPair::from_pem(&read_private(&key_path)?)?;
        let der = ca_der(&pem).ok_or(SecretError::Malformed { path: pem_path })?;
        Ok(Authority { pem, der, issuer: Issuer::new(params, key) })
    }

    /// By what a token names it.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.der)
    }

    /// What the head's server is set up with: a new certificate, and whom it trusts.
    pub fn server_config(&self, keys: &Keys) -> Result<ServerTlsConfig, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![HEAD_NAME.to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let chain = params.signed_by(&key, &self.issuer)?.pem() + &self.pem;
        let (members, key_of_members) = members(keys)?;
        let members = members.self_signed(&key_of_members)?;
        let config = ServerTlsConfig::new().identity(Identity::from_pem(chain, key.serialize_pem()));
        Ok(config.client_ca_root(Certificate::from_pem(members.pem())).timeout(Duration::from_secs(5)))
    }
}

/// What a client is set up with that knows the secret, and trusts this authority of the head.
pub(crate) fn client_config(keys: &Keys, ca_pem: &str) -> Result<ClientTlsConfig, TlsError> {
    let (members, key_of_members) = members(keys)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![])?;
    params.distinguished_name.push(DnType::CommonName, "rayline member");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &Issuer::new(members, key_of_members))?;
    let config = ClientTlsConfig::new().domain_name(HEAD_NAME).ca_certificate(Certificate::from_pem(ca_pem));
    Ok(config.identity(Identity::from_pem(certificate.pem(), key.serialize_pem())))
}

/// Asks a head for the certificate of its authority, and checks that against its hash. Nothing secret is sent.
pub(crate) fn fetch_ca(address: SocketAddr, wanted: [u8; 32], patience: Duration) -> Result<String, TlsError> {
    let unreachable = |source| TlsError::Unreachable { address, source };
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = versions.expect("ring knows the default versions").dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Pinned { wanted, provider })).with_no_client_auth();
    let name = ServerName::try_from(HEAD_NAME).expect("a name of a host");
    let mut tls =
        ClientConnection::new(Arc::new(config), name).map_err(|error| unreachable(io::Error::other(error)))?;
    let mut stream = TcpStream::connect_timeout(&address, patience).map_err(unreachable)?;
    stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)))
        .map_err(unreachable)?;
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut stream) {
            let refused = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
            let is_other = matches!(refused, Some(rustls::Error::InvalidCertificate(_)));
            return Err(if is_other { TlsError::OtherHead { address } } else { unreachable(error) });
        }
    }
    let ca = tls.peer_certificates().and_then(<[_]>::last).ok_or(TlsError::OtherHead { address })?;
    Ok(pem::encode(&pem::Pem::new("CERTIFICATE", ca.to_vec())))
}

/// Takes a chain for good whose authority has the hash that is wanted. Only that certificate is made use of; what the
/// chain begins with is checked when it is connected to for good.
#[derive(Debug)]
struct Pinned {
    wanted: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if intermediates.last().is_some_and(|ca| hash(ca) == self.wanted) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        of: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, of, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        of: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, of, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The authority of those who know the secret.
fn members(keys: &Keys) -> Result<(CertificateParams, KeyPair), TlsError> {
    let der = [&ED25519_PREFIX[..], &derive(keys, "rayline members' authority 1")].concat();
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)?;
    Ok((authority(format!("rayline members {:032x}", keys.cluster.0)), key))
}

fn authority(name: String) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn ca_der(text: &str) -> Option<CertificateDer<'static>> {
    let found = pem::parse(text).ok().filter(|found| found.tag() == "CERTIFICATE")?;
    Some(CertificateDer::from(found.into_contents()))
}

fn hash(ca: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(ca).into()
}
