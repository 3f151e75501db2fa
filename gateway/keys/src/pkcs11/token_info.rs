//! What a token says of itself (`CK_TOKEN_INFO`, PKCS#11 v3.0 §3.3).
//!
//! Read from the module without the library in between: that one refuses the whole structure for one
//! field that is not as the standard has it, such as the time of a token whose clock was never set, and
//! with it every other token of the module. Here only the fields are looked at that somebody needs.

use std::path::Path;

use cryptoki::context::Function;
use cryptoki::error::{Error, Rv};
use cryptoki::slot::Slot;
use cryptoki_sys::{
    CK_EFFECTIVELY_INFINITE, CK_FLAGS, CK_FUNCTION_LIST_PTR, CK_RV, CK_SLOT_ID, CK_TOKEN_INFO,
    CK_UNAVAILABLE_INFORMATION, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_INITIALIZED, CKF_USER_PIN_LOCKED,
};

/// `C_GetTokenInfo` of a module.
pub(crate) struct TokenInfoReader {
    get: unsafe extern "C" fn(CK_SLOT_ID, *mut CK_TOKEN_INFO) -> CK_RV,
    /// The function is there for as long as this is.
    _library: cryptoki_sys::Pkcs11,
}

/// What is needed of `CK_TOKEN_INFO`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenInfo {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) model: String,
    pub(crate) manufacturer: String,
    flags: CK_FLAGS,
    /// How many sessions the token admits; none if it does not say or sets no limit.
    pub(crate) session_limit: Option<u64>,
}

impl TokenInfoReader {
    /// For the module in this file.
    ///
    /// # Errors
    /// The file is no PKCS#11 module.
    pub(crate) fn load(module: &Path) -> Result<Self, Error> {
        #[expect(unsafe_code, reason = "loading a module runs its code")]
        // SAFETY: the operator named it as the PKCS#11 module to use, and it is loaded already.
        let library =
            unsafe { cryptoki_sys::Pkcs11::new(module) }.map_err(Error::LibraryLoading)?;
        let Ok(get_list) = &library.C_GetFunctionList else {
            return Err(Error::MissingSymbol("C_GetFunctionList"));
        };
        let mut list: CK_FUNCTION_LIST_PTR = std::ptr::null_mut();
        #[expect(unsafe_code, reason = "a function of the module")]
        // SAFETY: C_GetFunctionList takes a place for a pointer (PKCS#11 v3.0 §5.4.4), at any time.
        let code = unsafe { get_list(&raw mut list) };
        Rv::from(code).into_result(Function::GetFunctionList)?;
        #[expect(unsafe_code, reason = "the module gives a pointer")]
        // SAFETY: it points to the module's list of functions, which lives as long as the module.
        let get = unsafe { list.as_ref() }.and_then(|list| list.C_GetTokenInfo);
        Ok(Self { get: get.ok_or(Error::NullFunctionPointer)?, _library: library })
    }

    /// Asks about the token in a slot.
    ///
    /// # Errors
    /// The module's return code.
    pub(crate) fn read(&self, slot: Slot) -> Result<TokenInfo, Error> {
        let mut info = CK_TOKEN_INFO::default();
        #[expect(unsafe_code, reason = "a function of the module")]
        // SAFETY: C_GetTokenInfo takes any number of a slot, and a place for what it tells.
        let code = unsafe { (self.get)(slot.into(), &raw mut info) };
        Rv::from(code).into_result(Function::GetTokenInfo)?;
        Ok(TokenInfo::from(&info))
    }
}

impl TokenInfo {
    pub(crate) fn is_initialised(&self) -> bool {
        self.has(CKF_TOKEN_INITIALIZED)
    }

    /// Whether there is a user's PIN at all.
    pub(crate) fn has_user_pin(&self) -> bool {
        self.has(CKF_USER_PIN_INITIALIZED)
    }

    /// Whether one more wrong PIN locks it.
    pub(crate) fn is_at_the_final_try(&self) -> bool {
        self.has(CKF_USER_PIN_FINAL_TRY)
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.has(CKF_USER_PIN_LOCKED)
    }

    /// Whether the token says that it counted a wrong PIN since the last login that succeeded. One that
    /// says nothing may have counted some all the same.
    pub(crate) fn counted_a_wrong_pin(&self) -> bool {
        self.has(CKF_USER_PIN_COUNT_LOW) || self.is_at_the_final_try() || self.is_locked()
    }

    fn has(&self, flag: CK_FLAGS) -> bool {
        self.flags & flag != 0
    }
}

impl From<&CK_TOKEN_INFO> for TokenInfo {
    fn from(info: &CK_TOKEN_INFO) -> Self {
        let limit = info.ulMaxSessionCount;
        let says_none = limit == CK_EFFECTIVELY_INFINITE || limit == CK_UNAVAILABLE_INFORMATION;
        #[allow(clippy::useless_conversion, reason = "CK_ULONG is not 64 bits long everywhere")]
        let session_limit = (!says_none).then(|| u64::from(limit));
        Self {
            label: text(&info.label),
            serial: text(&info.serialNumber),
            model: text(&info.model),
            manufacturer: text(&info.manufacturerID),
            flags: info.flags,
            session_limit,
        }
    }
}

/// A field that is filled up with blanks (PKCS#11 v3.0 §3.3). Some modules fill it up with NUL, or copy
/// a C string into it and leave behind it what was there before.
fn text(field: &[u8]) -> String {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(edit: impl FnOnce(&mut CK_TOKEN_INFO)) -> TokenInfo {
        let mut info = CK_TOKEN_INFO::default();
        info.label.fill(b' ');
        info.serialNumber.fill(b' ');
        edit(&mut info);
        TokenInfo::from(&info)
    }

    #[test]
    fn names_end_before_blanks_or_before_nul_and_what_is_behind_it() {
        for rest in [&b"      "[..], b"\0\0\0\0\0\0", b"\0abc\xff\xff", b"  \0\0\0\0"] {
            let read = info(|info| {
                info.label[..5].copy_from_slice(b"token");
                info.label[5..5 + rest.len()].copy_from_slice(rest);
                info.serialNumber[..2].copy_from_slice(b"01");
                info.serialNumber[2..2 + rest.len()].copy_from_slice(rest);
            });
            assert_eq!((read.label.as_str(), read.serial.as_str()), ("token", "01"), "{rest:?}");
        }
    }

    #[test]
    fn limits_that_are_none_do_not_count() {
        for none in [CK_EFFECTIVELY_INFINITE, CK_UNAVAILABLE_INFORMATION] {
            assert_eq!(info(|info| info.ulMaxSessionCount = none).session_limit, None);
        }
        assert_eq!(info(|info| info.ulMaxSessionCount = 16).session_limit, Some(16));
    }

    #[test]
    fn each_of_three_flags_says_that_a_wrong_pin_was_counted() {
        assert!(!info(|info| info.flags = CKF_TOKEN_INITIALIZED).counted_a_wrong_pin());
        for flag in [CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED] {
            assert!(info(|info| info.flags |= flag).counted_a_wrong_pin());
        }
    }
}
