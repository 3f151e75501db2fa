//! Reading objects of which some may be malformed: an object that somebody else left in the token must not
//! take the others along.

use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use crate::pkcs11::code::Code;

/// What can be read of an object.
pub(crate) struct Seen {
    pub(crate) attributes: Vec<Attribute>,
    /// What is wrong with it, if some of what was asked cannot be read.
    pub(crate) malformed: Option<String>,
}

/// Reads attributes of an object, one by one if they cannot be read together.
///
/// # Errors
/// The token fails, and not this object of it.
pub(crate) fn read(
    session: &Session,
    object: ObjectHandle,
    asked: &[AttributeType],
) -> Result<Seen, Error> {
    let error = match session.get_attributes(object, asked) {
        Ok(attributes) => return Ok(Seen { attributes, malformed: None }),
        Err(error) => error,
    };
    let mut seen = Seen { attributes: Vec::new(), malformed: Some(Code(&error).to_string()) };
    expect_of_the_object(session, error)?;
    for attribute in asked {
        match session.get_attributes(object, std::slice::from_ref(attribute)) {
            Ok(read) => seen.attributes.extend(read),
            Err(error) => {
                seen.malformed = Some(format!("{attribute:?}: {}", Code(&error)));
                expect_of_the_object(session, error)?;
            }
        }
    }
    Ok(seen)
}

/// Passes an error on unless it is about one object: one that speaks of the session or the device is not, and
/// with another one the session still answers.
pub(crate) fn expect_of_the_object(session: &Session, error: Error) -> Result<(), Error> {
    let of_all = matches!(
        error,
        Error::Pkcs11(
            RvError::CryptokiNotInitialized
                | RvError::DeviceError
                | RvError::DeviceRemoved
                | RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::SlotIdInvalid
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::UserNotLoggedIn,
            _
        )
    );
    if of_all || matches!(session.get_session_info(), Err(Error::Pkcs11(..))) {
        return Err(error);
    }
    Ok(())
}
