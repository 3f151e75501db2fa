//! What a key pair may be used for.

use cryptoki::object::Attribute;

/// What the private half of a key pair may do in a token: a CA's key has no business decrypting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// `CKA_SIGN`.
    pub sign: bool,
    /// `CKA_DECRYPT`: RSA keys only.
    pub decrypt: bool,
    /// `CKA_UNWRAP`: RSA keys only.
    pub unwrap: bool,
}

impl Usage {
    pub(crate) const NONE: Self = Self { sign: false, decrypt: false, unwrap: false };
    /// Signing and nothing else.
    pub const SIGN: Self = Self { sign: true, ..Self::NONE };
    /// Decryption and nothing else.
    pub const DECRYPT: Self = Self { decrypt: true, ..Self::NONE };
    /// Both.
    pub const SIGN_AND_DECRYPT: Self = Self { sign: true, decrypt: true, ..Self::NONE };
    /// Bringing other keys in, and nothing else.
    pub const UNWRAP: Self = Self { unwrap: true, ..Self::NONE };

    /// For the private half. Tokens have defaults of their own for what is left out.
    pub(crate) fn of_private(self) -> [Attribute; 3] {
        let Self { sign, decrypt, unwrap } = self;
        [Attribute::Sign(sign), Attribute::Decrypt(decrypt), Attribute::Unwrap(unwrap)]
    }

    /// For the public half.
    pub(crate) fn of_public(self) -> [Attribute; 3] {
        let Self { sign, decrypt, unwrap } = self;
        [Attribute::Verify(sign), Attribute::Encrypt(decrypt), Attribute::Wrap(unwrap)]
    }
}
