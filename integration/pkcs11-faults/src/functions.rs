//! The functions that replace the real module's own. Each asks the plan first.
#![expect(unsafe_code, reason = "a PKCS#11 module is C functions that get pointers")]
#![expect(non_snake_case, reason = "the names of PKCS#11")]

use std::ffi::c_void;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_FUNCTION_LIST_PTR_PTR,
    CK_MECHANISM, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV,
    CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG,
    CK_USER_TYPE, CK_UTF8CHAR, CKR_BUFFER_TOO_SMALL, CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
    CKR_SESSION_COUNT,
};

use crate::module::{Subject, module};
use crate::plan::Effect;

/// The only function that is found by its name (PKCS#11 §5.4).
///
/// # Safety
/// `list` is a place for a pointer, or null.
#[unsafe(no_mangle)]
#[expect(unreachable_pub, reason = "whoever loads the module reaches it")]
pub unsafe extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    // SAFETY: the caller's word, and its part of the contract of PKCS#11.
    if let Some(list) = unsafe { list.as_mut() } {
        *list = std::ptr::from_ref(module().list()).cast_mut();
    }
    CKR_OK
}

/// The real module's functions, with ours in place of some.
pub(crate) fn before(real: &CK_FUNCTION_LIST) -> CK_FUNCTION_LIST {
    CK_FUNCTION_LIST {
        C_GetFunctionList: Some(C_GetFunctionList),
        C_Initialize: Some(C_Initialize),
        C_Finalize: Some(C_Finalize),
        C_GetSlotList: Some(C_GetSlotList),
        C_GetTokenInfo: Some(C_GetTokenInfo),
        C_OpenSession: Some(C_OpenSession),
        C_CloseSession: Some(C_CloseSession),
        C_Login: Some(C_Login),
        C_Sign: Some(C_Sign),
        C_GetSlotInfo: Some(C_GetSlotInfo),
        C_GetMechanismList: Some(C_GetMechanismList),
        C_GetMechanismInfo: Some(C_GetMechanismInfo),
        C_CloseAllSessions: Some(C_CloseAllSessions),
        C_GetSessionInfo: Some(C_GetSessionInfo),
        C_FindObjectsInit: Some(C_FindObjectsInit),
        C_FindObjects: Some(C_FindObjects),
        C_FindObjectsFinal: Some(C_FindObjectsFinal),
        C_GetAttributeValue: Some(C_GetAttributeValue),
        C_CopyObject: Some(C_CopyObject),
        C_SignInit: Some(C_SignInit),
        C_EncryptInit: Some(C_EncryptInit),
        C_Encrypt: Some(C_Encrypt),
        C_DecryptInit: Some(C_DecryptInit),
        C_Decrypt: Some(C_Decrypt),
        C_GenerateKey: Some(C_GenerateKey),
        C_GenerateKeyPair: Some(C_GenerateKeyPair),
        ..*real
    }
}

/// Functions that only ask the plan and then call the real module. `$subject` says what the first
/// argument is; slots get the numbers that the real module uses for them.
macro_rules! passed_on {
    ($($subject:ident $name:ident($first:ident: $kind:ty $(, $argument:ident: $type:ty)*);)*) => {$(
        unsafe extern "C" fn $name($first: $kind $(, $argument: $type)*) -> CK_RV {
            let $first = passed_on!(@real $subject $first);
            if let Some(code) = module().before(stringify!($name), Subject::$subject($first)) {
                return code;
            }
            let Some(real) = module().real().$name else { return CKR_FUNCTION_NOT_SUPPORTED };
            let _in_use = module().in_use();
            // SAFETY: the same call, with the same arguments.
            unsafe { real($first $(, $argument)*) }
        }
    )*};
    (@real Slot $slot:ident) => { module().real_slot($slot) };
    (@real Session $session:ident) => { $session };
}

passed_on! {
    Slot C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO);
    Slot C_GetMechanismList(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG);
    Slot C_GetMechanismInfo(slot: CK_SLOT_ID, kind: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
    Slot C_CloseAllSessions(slot: CK_SLOT_ID);
    Session C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    Session C_FindObjects(session: CK_SESSION_HANDLE, objects: *mut CK_OBJECT_HANDLE, most: CK_ULONG, count: *mut CK_ULONG);
    Session C_FindObjectsFinal(session: CK_SESSION_HANDLE);
    Session C_GetAttributeValue(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    Session C_CopyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG, copy: *mut CK_OBJECT_HANDLE);
    Session C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    Session C_EncryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    Session C_Encrypt(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, length: CK_ULONG, out: *mut CK_BYTE, out_length: *mut CK_ULONG);
    Session C_DecryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    Session C_Decrypt(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, length: CK_ULONG, out: *mut CK_BYTE, out_length: *mut CK_ULONG);
    Session C_GenerateKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG, key: *mut CK_OBJECT_HANDLE);
    Session C_GenerateKeyPair(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE, public_count: CK_ULONG, private: *mut CK_ATTRIBUTE, private_count: CK_ULONG, public_key: *mut CK_OBJECT_HANDLE, private_key: *mut CK_OBJECT_HANDLE);
}

unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    if let Some(code) = module().before("C_Initialize", Subject::Nothing) {
        return code;
    }
    let Some(real) = module().real().C_Initialize else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the same call, with the same argument.
    unsafe { real(arguments) }
}

unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    if let Some(code) = module().before("C_Finalize", Subject::Nothing) {
        return code;
    }
    module().finalised();
    let Some(real) = module().real().C_Finalize else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the same call, with the same argument.
    unsafe { real(reserved) }
}

unsafe extern "C" fn C_GetSlotList(
    present: CK_BBOOL,
    list: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    if let Some(code) = module().before("C_GetSlotList", Subject::Nothing) {
        return code;
    }
    let Some(real) = module().real().C_GetSlotList else { return CKR_FUNCTION_NOT_SUPPORTED };
    let mut slots = [0; 64];
    let mut found = slots.len() as CK_ULONG;
    // SAFETY: there is room for as many slots as it says.
    let code = unsafe { real(present, slots.as_mut_ptr(), &raw mut found) };
    if code != CKR_OK {
        return code;
    }
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    let shown = module().shown(slots.get(..found).unwrap_or_default());
    // SAFETY: the caller gives a place for the number of slots.
    let Some(count) = (unsafe { count.as_mut() }) else { return CKR_OK };
    let room = std::mem::replace(count, shown.len() as CK_ULONG);
    if list.is_null() {
        return CKR_OK;
    }
    if room < shown.len() as CK_ULONG {
        return CKR_BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller gives a place for so many slots.
    unsafe { std::ptr::copy_nonoverlapping(shown.as_ptr(), list, shown.len()) };
    CKR_OK
}

unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    let slot = module().real_slot(slot);
    if let Some(code) = module().before("C_GetTokenInfo", Subject::Slot(slot)) {
        return code;
    }
    let Some(real) = module().real().C_GetTokenInfo else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the same call, with the same place.
    let code = unsafe { real(slot, info) };
    // SAFETY: the caller gives a place for what is told.
    if code == CKR_OK
        && let Some(info) = unsafe { info.as_mut() }
    {
        module().distort(info);
    }
    code
}

unsafe extern "C" fn C_GetSessionInfo(
    session: CK_SESSION_HANDLE,
    info: *mut CK_SESSION_INFO,
) -> CK_RV {
    if let Some(code) = module().before("C_GetSessionInfo", Subject::Session(session)) {
        return code;
    }
    let Some(real) = module().real().C_GetSessionInfo else { return CKR_FUNCTION_NOT_SUPPORTED };
    let code = {
        let _in_use = module().in_use();
        // SAFETY: the same call, with the same place.
        unsafe { real(session, info) }
    };
    // SAFETY: the caller gives a place for what is told.
    if code == CKR_OK
        && let Some(state) = module().session_state()
        && let Some(info) = unsafe { info.as_mut() }
    {
        info.state = state;
    }
    code
}

unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    let slot = module().real_slot(slot);
    if let Some(code) = module().before("C_OpenSession", Subject::Slot(slot)) {
        return code;
    }
    if !module().has_room() {
        return CKR_SESSION_COUNT;
    }
    let Some(real) = module().real().C_OpenSession else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the same call, with the same arguments.
    let code = unsafe { real(slot, flags, application, notify, session) };
    // SAFETY: the caller gives a place for the handle, which the real module has filled.
    if code == CKR_OK
        && let Some(session) = unsafe { session.as_ref() }
    {
        module().opened(*session, slot);
    }
    code
}

unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    let planned = module().before("C_CloseSession", Subject::Session(session));
    module().closed(session);
    let Some(real) = module().real().C_CloseSession else { return CKR_FUNCTION_NOT_SUPPORTED };
    let _in_use = module().in_use();
    // SAFETY: any number may be given. It is closed in any case: a test has no use for what leaks.
    let code = unsafe { real(session) };
    planned.unwrap_or(code)
}

unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    length: CK_ULONG,
) -> CK_RV {
    module().logs_in(length);
    let planned = module().before("C_Login", Subject::Session(session));
    let code = planned.unwrap_or_else(|| match module().real().C_Login {
        Some(real) => {
            let _in_use = module().in_use();
            // SAFETY: the same call, with the same arguments.
            unsafe { real(session, user, pin, length) }
        }
        None => CKR_FUNCTION_NOT_SUPPORTED,
    });
    module().logged_in(code);
    code
}

unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    // A caller that asks only for the length makes no signature yet.
    let effect = if signature.is_null() {
        None
    } else {
        module().planned("C_Sign", Subject::Session(session))
    };
    if let Some(code) = effect.and_then(|effect| module().happens(effect)) {
        return code;
    }
    let Some(real) = module().real().C_Sign else { return CKR_FUNCTION_NOT_SUPPORTED };
    let _in_use = module().in_use();
    // SAFETY: the same call, with the same arguments.
    let code = unsafe { real(session, data, length, signature, signature_length) };
    if code == CKR_OK && effect == Some(Effect::Corrupt) {
        // SAFETY: there is a signature of at least one byte.
        unsafe { *signature ^= 1 };
    }
    code
}
