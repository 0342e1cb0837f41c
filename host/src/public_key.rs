//! Public keys: read from what providers publish, and checked with `ring`.
//!
//! Only what the schemes need of X.509 and DER is read here: the key out of a
//! SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) or a certificate. Whom a certificate
//! belongs to is not looked at: it is fetched from an address that its scheme pins.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;

/// AlgorithmIdentifier of Ed25519 (RFC 8410 section 3).
const ED25519_ID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// AlgorithmIdentifier of an EC key on P-256 (RFC 5480 section 2.1.1).
const P256_ID: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];
/// AlgorithmIdentifier of an RSA key (RFC 3279 section 2.3.1).
const RSA_ID: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// A key that anybody may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    kind: Kind,
    /// As `ring` takes it: 32 bytes, an uncompressed point, or an RSAPublicKey.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519,
    P256,
    Rsa,
}

/// A way of signing with a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, in DER.
    EcdsaDer,
    /// The same as two numbers of 32 bytes, as in JOSE (RFC 7518 section 3.4).
    EcdsaFixed,
    /// RSA PKCS #1 v1.5 with SHA-1: only Amazon SNS still asks for it.
    RsaSha1,
    /// RSA PKCS #1 v1.5 with SHA-256.
    RsaSha256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    RsaSha384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    RsaSha512,
    /// RSA PSS with SHA-256.
    RsaPssSha256,
    /// RSA PSS with SHA-512.
    RsaPssSha512,
}

impl PublicKey {
    /// An Ed25519 key of 32 bytes.
    pub(crate) fn ed25519(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self {
            kind: Kind::Ed25519,
            bytes: bytes.to_vec(),
        })
    }

    /// A key in a SubjectPublicKeyInfo: PEM, or its DER in base64.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let body: String = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD
            .decode(&body)
            .or_else(|_| STANDARD_NO_PAD.decode(&body));
        Self::from_spki(&der.ok()?)
    }

    /// The key of a certificate in PEM.
    pub(crate) fn of_certificate(pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let certificate = ParsedCertificate::try_from(&der).ok()?;
        Self::from_spki(&certificate.subject_public_key_info())
    }

    fn from_spki(der: &[u8]) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        const BIT_STRING: u8 = 0x03;
        let (spki, after) = element(SEQUENCE, der)?;
        let (algorithm, spki) = element(SEQUENCE, spki)?;
        let (bits, after_bits) = element(BIT_STRING, spki)?;
        // No unused bits, nothing that follows.
        let (0, bytes) = bits.split_first().map(|(unused, rest)| (*unused, rest))? else {
            return None;
        };
        if !after.is_empty() || !after_bits.is_empty() {
            return None;
        }
        let kind = match algorithm {
            ED25519_ID if bytes.len() == 32 => Kind::Ed25519,
            P256_ID if bytes.len() == 65 => Kind::P256,
            RSA_ID => Kind::Rsa,
            _ => return None,
        };
        Some(Self {
            kind,
            bytes: bytes.to_vec(),
        })
    }

    /// Whether it can check signatures made so.
    pub(crate) fn fits(&self, signing: Signing) -> bool {
        self.kind == signing.kind()
    }

    /// Whether its private half signed a message. Its size is `ring`'s to check: RSA keys
    /// have 2048 to 8192 bits.
    pub(crate) fn has_signed(&self, signing: Signing, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(signing.algorithm(), &self.bytes);
        self.fits(signing) && key.verify(message, signature).is_ok()
    }
}

impl Signing {
    const fn kind(self) -> Kind {
        match self {
            Self::Ed25519 => Kind::Ed25519,
            Self::EcdsaDer | Self::EcdsaFixed => Kind::P256,
            Self::RsaSha1
            | Self::RsaSha256
            | Self::RsaSha384
            | Self::RsaSha512
            | Self::RsaPssSha256
            | Self::RsaPssSha512 => Kind::Rsa,
        }
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &ED25519,
            Self::EcdsaDer => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaFixed => &ECDSA_P256_SHA256_FIXED,
            Self::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
            Self::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
        }
    }
}

/// The content of the DER element at the beginning, and what follows it. Lengths have at
/// most two bytes, the shortest that do: no key is longer.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&[length], rest) = rest.split_first_chunk::<1>()?;
            (length > 0x7f).then_some((usize::from(length), rest))?
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk::<2>()?;
            let length = u16::from_be_bytes(length);
            (length > 0xff).then_some((usize::from(length), rest))?
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::{PublicKey, Signing};

    #[test]
    fn keys_are_told_apart() {
        // RFC 8410 section 10.1.
        let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let p256 = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
        for (text, fits, not) in [
            (ed25519, Signing::Ed25519, Signing::EcdsaDer),
            (p256, Signing::EcdsaDer, Signing::RsaSha256),
            (p256, Signing::EcdsaFixed, Signing::Ed25519),
        ] {
            let key = PublicKey::from_text(text).unwrap();
            assert!(key.fits(fits) && !key.fits(not));
            assert!(!key.has_signed(fits, b"message", &[0; 64]));
        }
        for bad in [
            "",
            "AAAA",
            &p256[..60],
            "not base64!",
            &p256.replace("MFkw", "MFgw"),
        ] {
            assert_eq!(PublicKey::from_text(bad), None, "{bad}");
        }
        assert!(PublicKey::ed25519(&[0; 31]).is_none());
        assert!(
            PublicKey::of_certificate(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
            )
            .is_none()
        );
    }
}
