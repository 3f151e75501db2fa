//! Validates dns-01 challenges (RFC 8555 §8.4).

use aws_lc_rs::digest::{SHA256, digest};
use hickory_resolver::proto::rr::RData;

use super::{Task, Validator, dial};
use crate::failure::{Failure, FailureKind};
use crate::jws::base64url;

impl Validator {
    /// dns-01 (RFC 8555 §8.4): one of the TXT records at `_acme-challenge` below the name is the
    /// digest of the key authorization. The resolver follows CNAMEs.
    pub(super) async fn dns01(&self, task: &Task) -> Result<(), Failure> {
        let name = format!("_acme-challenge.{}", task.identifier.base());
        let expected = base64url::encode(digest(&SHA256, task.key_authorization().as_bytes()));
        let found = self.lookups.txt(&name).await.map_err(|error| {
            let kind = dial::kind_of(&error);
            Failure::new(kind, format!("looking up TXT records of {name}: {error}"))
        })?;
        let mut others = 0;
        for record in found.answers() {
            if let RData::TXT(text) = &record.data {
                // A record's text may come in several strings, which belong together.
                if text.txt_data.concat() == expected.as_bytes() {
                    return Ok(());
                }
                others += 1;
            }
        }
        Err(Failure::new(
            FailureKind::IncorrectResponse,
            format!("{name} has {others} TXT records, none of which is {expected}"),
        ))
    }
}
