//! Shows PKCS#11 return values as the standard names them.

use std::fmt::{Display, Formatter, Result};

use cryptoki::error::Error;

/// What a token answered, in the standard's words: `C_Sign: CKR_DEVICE_REMOVED`. The library's own text is
/// the standard's paragraph about it.
pub(crate) struct Code<'a>(pub(crate) &'a Error);

impl Display for Code<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Error::Pkcs11(code, function) => {
                write!(f, "C_{function:?}: {}", constant(&format!("{code:?}")))
            }
            other => other.fmt(f),
        }
    }
}

/// `CKR_DEVICE_REMOVED` of `DeviceRemoved`.
fn constant(name: &str) -> String {
    let mut constant = "CKR".to_owned();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            constant.push('_');
        }
        constant.push(letter.to_ascii_uppercase());
    }
    constant
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;
    use cryptoki::error::RvError;

    use super::*;

    #[test]
    fn codes_are_shown_as_the_standard_has_them() {
        let shown = |code| Code(&Error::Pkcs11(code, Function::UnwrapKey)).to_string();
        assert_eq!(shown(RvError::FunctionFailed), "C_UnwrapKey: CKR_FUNCTION_FAILED");
        assert_eq!(shown(RvError::PinLenRange), "C_UnwrapKey: CKR_PIN_LEN_RANGE");
        assert_eq!(Code(&Error::PinNotSet).to_string(), Error::PinNotSet.to_string());
    }
}
