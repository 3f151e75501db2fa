use cryptoki::object::Attribute;

/// What the private half of a key pair may do in a token: a CA's key has no business decrypting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// `CKA_SIGN`.
    pub sign: bool,
    /// `CKA_DECRYPT`: RSA keys only.
    pub decrypt: bool,
}

impl Usage {
    pub(super) const NONE: Self = Self { sign: false, decrypt: false };
    /// Signing and nothing else.
    pub const SIGN: Self = Self { sign: true, decrypt: false };
    /// Decryption and nothing else.
    pub const DECRYPT: Self = Self { sign: false, decrypt: true };
    /// Both.
    pub const SIGN_AND_DECRYPT: Self = Self { sign: true, decrypt: true };

    /// For the private half. Tokens have defaults of their own for what is left out.
    pub(super) fn of_private(self) -> [Attribute; 2] {
        [Attribute::Sign(self.sign), Attribute::Decrypt(self.decrypt)]
    }

    /// For the public half.
    pub(super) fn of_public(self) -> [Attribute; 2] {
        [Attribute::Verify(self.sign), Attribute::Encrypt(self.decrypt)]
    }
}
