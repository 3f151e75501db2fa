//! Classifies the failures of a token: whether to drop the session, try again, or use another token.

use cryptoki::error::{Error, RvError};

use crate::pkcs11::code::Code;
use crate::{KeyName, SignError};

/// What went wrong in a session, and so what becomes of the session.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The token refused a call. Between `C_SignInit` and `C_Sign` that leaves the session unusable,
    /// and telling where it happened is not worth the risk: the session goes.
    Token(Error),
    /// The token is not there, or does not let us in.
    Closed(String),
    /// Somebody ended the process's login. A search then finds no private key and no error.
    LoggedOut,
    /// No object has the key's id any more. The session is fine.
    NoObject,
    /// More than one object has the key's id. The session is fine.
    SeveralObjects,
    /// The signature does not verify: do not trust the session either.
    Mismatch,
    /// Decryption failed for what is to be decrypted. The session is fine.
    NotAuthentic,
}

impl Fault {
    /// Whether the session may serve the next operation.
    pub(crate) fn spares_the_session(&self) -> bool {
        // A decryption that failed has ended (PKCS#11 v3.0 §5.10.2); in a token where it has not, the
        // next operation finds out, and is done in a fresh session.
        matches!(self, Self::NoObject | Self::SeveralObjects | Self::NotAuthentic)
    }

    /// Whether a fresh session with fresh handles may well succeed at once: the old ones were stale.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(
            self,
            Self::LoggedOut
                | Self::Token(Error::Pkcs11(
                    RvError::SessionHandleInvalid
                        | RvError::SessionClosed
                        | RvError::ObjectHandleInvalid
                        | RvError::KeyHandleInvalid
                        | RvError::UserNotLoggedIn
                        | RvError::OperationActive
                        | RvError::OperationNotInitialized,
                    _
                ))
        )
    }

    /// Whether the device is away or out of order, so that all of its sessions are worthless.
    pub(crate) fn is_of_the_device(&self) -> bool {
        match self {
            Self::Closed(_) => true,
            Self::Token(Error::Pkcs11(code, _)) => matches!(
                code,
                RvError::CryptokiNotInitialized
                    | RvError::DeviceError
                    | RvError::DeviceMemory
                    | RvError::DeviceRemoved
                    | RvError::FunctionCanceled
                    | RvError::FunctionFailed
                    | RvError::GeneralError
                    | RvError::HostMemory
                    | RvError::SessionCount
                    | RvError::SlotIdInvalid
                    | RvError::TokenNotPresent
                    | RvError::TokenNotRecognized
            ),
            _ => false,
        }
    }

    /// Whether another token that holds the key may do better.
    pub(crate) fn may_do_elsewhere(&self) -> bool {
        match self {
            Self::Token(error) => !blames_the_request(error),
            Self::NotAuthentic => false,
            _ => true,
        }
    }

    /// All that [`cause`](Self::cause) says.
    pub(crate) const CAUSES: [&'static str; 7] =
        ["stale", "device", "token", "closed", "object", "mismatch", "not-authentic"];

    /// A short word for metrics.
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            _ if self.is_stale() => "stale",
            Self::Token(_) if self.is_of_the_device() => "device",
            Self::Token(_) => "token",
            Self::Closed(_) | Self::LoggedOut => "closed",
            Self::NoObject | Self::SeveralObjects => "object",
            Self::Mismatch => "mismatch",
            Self::NotAuthentic => "not-authentic",
        }
    }

    /// What the caller hears who wanted something of `key`.
    pub(crate) fn for_key(self, key: &KeyName) -> SignError {
        let key = key.clone();
        match self {
            Self::Token(error) if blames_the_request(&error) => {
                SignError::Failed { key, reason: Code(&error).to_string() }
            }
            Self::Token(error) => SignError::Unavailable { reason: Code(&error).to_string() },
            Self::Closed(reason) => SignError::Unavailable { reason },
            Self::LoggedOut => SignError::Unavailable { reason: self.to_string() },
            Self::NoObject => SignError::UnknownKey { key },
            Self::SeveralObjects => SignError::Ambiguous { key },
            Self::Mismatch => SignError::Mismatch { key },
            Self::NotAuthentic => SignError::Failed { key, reason: self.to_string() },
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(error) => Code(error).fmt(f),
            Self::Closed(reason) => f.write_str(reason),
            Self::LoggedOut => f.write_str("the login to the token ended"),
            Self::NoObject => f.write_str("no object has the key's id"),
            Self::SeveralObjects => f.write_str("several objects have the key's id"),
            Self::Mismatch => f.write_str("the signature does not verify"),
            Self::NotAuthentic => f.write_str("decryption failed"),
        }
    }
}

/// Return codes that speak of the key or the mechanism. Whatever is not listed is taken to be the
/// token's trouble.
fn blames_the_request(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::KeyFunctionNotPermitted
                | RvError::KeyTypeInconsistent
                | RvError::KeySizeRange
                | RvError::MechanismInvalid
                | RvError::MechanismParamInvalid
                | RvError::ArgumentsBad
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::ActionProhibited,
            _
        ) | Error::NotSupported
            | Error::InvalidValue
    )
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    fn key() -> KeyName {
        "k".parse().unwrap()
    }

    #[test]
    fn stale_handles_are_tried_again_and_a_lost_device_is_not() {
        let fault = |code| Fault::from(Error::Pkcs11(code, Function::SignInit));
        for code in [RvError::UserNotLoggedIn, RvError::SessionHandleInvalid] {
            assert!(fault(code).is_stale());
        }
        for code in [RvError::DeviceRemoved, RvError::PinIncorrect, RvError::GeneralError] {
            assert!(!fault(code).is_stale());
            assert!(!fault(code).spares_the_session());
            assert!(matches!(fault(code).for_key(&key()), SignError::Unavailable { .. }));
        }
    }

    #[test]
    fn a_key_s_own_fault_is_not_blamed_on_the_token() {
        let fault = Fault::from(Error::Pkcs11(RvError::KeyFunctionNotPermitted, Function::Sign));
        assert!(matches!(fault.for_key(&key()), SignError::Failed { .. }));
        assert!(matches!(Fault::NoObject.for_key(&key()), SignError::UnknownKey { .. }));
    }
}
