//! A PKCS#11 module without the pool: what its users write first, and the best that can be had of it.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use chancery_integration::hsm::Token;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use crate::measure;

const TIME: Duration = Duration::from_secs(1);
const MESSAGE: &[u8] = b"to be signed";
/// The start of a `DigestInfo` with SHA-256 (RFC 8017 §9.2 note 1).
const SHA256_INFO: &[u8] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

/// The module, logged in. Login is per token and process, so a pool may have done it already.
pub(crate) struct Bare {
    context: Pkcs11,
    slot: Slot,
    anchor: Option<Session>,
    /// Whether the use of the module ends with this.
    initialised: bool,
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.anchor = None;
        if self.initialised {
            self.context.clone().finalize().unwrap();
        }
    }
}

impl Bare {
    pub(crate) fn open(module: &Path, pin: &str) -> Self {
        let context = Pkcs11::new(module).unwrap();
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        let initialised = context.initialize(arguments).is_ok();
        let slot = context
            .get_slots_with_initialized_token()
            .unwrap()
            .into_iter()
            .find(|slot| context.get_token_info(*slot).unwrap().label() == Token::LABEL)
            .unwrap();
        let anchor = context.open_rw_session(slot).unwrap();
        let _ = anchor.login(UserType::User, Some(&AuthPin::new(pin.to_owned().into())));
        Self { context, slot, anchor: Some(anchor), initialised }
    }

    /// P-256 signatures per second with cached handles.
    pub(crate) fn rate(&self, threads: usize, key: &str) -> f64 {
        let Self { context, slot, .. } = self;
        measure::rate(
            threads,
            TIME,
            |_| session_with(context, *slot, key),
            |(session, key)| sign(session, *key),
        )
    }

    /// RSA signatures per second with cached handles.
    pub(crate) fn rsa_rate(&self, threads: usize, key: &str) -> f64 {
        let Self { context, slot, .. } = self;
        measure::rate(
            threads,
            TIME,
            |_| session_with(context, *slot, key),
            |(session, key)| {
                let info = [SHA256_INFO, digest(&SHA256, MESSAGE).as_ref()].concat();
                session.sign(&Mechanism::RsaPkcs, *key, &info).unwrap();
            },
        )
    }

    /// Microseconds of each signature, one after the other.
    pub(crate) fn latencies(&self, key: &str, time: Duration) -> Vec<f64> {
        let (session, key) = session_with(&self.context, self.slot, key);
        let started = Instant::now();
        let mut times = Vec::new();
        while started.elapsed() < time {
            let begun = Instant::now();
            sign(&session, key);
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        times
    }

    /// Signatures per second with a session and a search for each.
    pub(crate) fn careless_rate(&self, key: &str, time: Duration) -> f64 {
        let started = Instant::now();
        let mut done = 0_u32;
        while started.elapsed() < time {
            let (session, key) = session_with(&self.context, self.slot, key);
            sign(&session, key);
            session.close().unwrap();
            done += 1;
        }
        f64::from(done) / started.elapsed().as_secs_f64()
    }

    /// Makes P-256 keys until there are so many in the token.
    pub(crate) fn fill(&self, keys: usize) {
        let session = self.context.open_rw_session(self.slot).unwrap();
        let there = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
        for number in there.len()..keys {
            let label = Attribute::Label(format!("other-{number}").into_bytes());
            let id = Attribute::Id(format!("id-{number}").into_bytes());
            let curve = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07".to_vec();
            let public =
                [Attribute::Token(true), label.clone(), id.clone(), Attribute::EcParams(curve)];
            let private = [Attribute::Token(true), Attribute::Private(true), label, id];
            session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
        }
    }
}

fn session_with(context: &Pkcs11, slot: Slot, key: &str) -> (Session, ObjectHandle) {
    let session = context.open_ro_session(slot).unwrap();
    let label = Attribute::Label(key.as_bytes().to_vec());
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), label];
    let found = session.find_objects(&template).unwrap()[0];
    (session, found)
}

fn sign(session: &Session, key: ObjectHandle) {
    // SoftHSM has no mechanism that hashes, so the hash is part of the work on both sides.
    let hash = digest(&SHA256, MESSAGE);
    session.sign(&Mechanism::Ecdsa, key, hash.as_ref()).unwrap();
}
