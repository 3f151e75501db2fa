//! A PKCS#11 module for tests. It stands before a real module (SoftHSM) and passes every call on to it,
//! but for what a [`Plan`] says: a call fails with some return code, takes long or hangs, a signature
//! comes out wrong, a token goes away and comes back, in another slot if need be.
//!
//! The plan is a file, so that a test can give it to a process from outside and change it while that
//! runs:
//!
//! ```no_run
//! use chancery_pkcs11_faults::{Effect, Fault, Plan, PlanFile};
//!
//! let plan = PlanFile::new("/tmp/test", "/usr/lib/softhsm/libsofthsm2.so");
//! // The process that loads `module()` has the directory in `PlanFile::VARIABLE`.
//! plan.set(&Plan::of(Fault::at("C_Sign", Effect::Return(0x30)).times(2)));
//! ```

mod functions;
mod module;
mod plan;

pub use plan::{Effect, Fault, Plan, PlanFile, module};
