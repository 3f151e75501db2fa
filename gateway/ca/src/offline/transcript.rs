//! The transcript of ceremonies: one JSON object a line, each with the hash of the line before, and at the
//! end the root's signature over all of them.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_store::Commit;
use chancery_x509::{ParsedCertificate, SignatureAlgorithm};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{OfflineError, OfflineRoot};

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    number: u64,
    at: Timestamp,
    action: String,
    witnesses: Vec<String>,
    details: BTreeMap<String, String>,
    /// SHA-256 of the line before, in hex; of nothing in the first line.
    previous: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    /// The key identifier of the root.
    key_id: String,
    /// The signature over all lines before, each with its line end; hex.
    signature: String,
}

/// Why a transcript is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// A line is none of a transcript.
    #[error("line {0} is not one of a transcript")]
    Line(usize),
    /// A line was removed, added or changed.
    #[error("line {0} does not follow the line before")]
    Order(usize),
    /// There is no signature at the end.
    #[error("the transcript does not end with a signature")]
    Unsigned,
    /// The signature is not the root's, or not over these lines.
    #[error("the signature at the end is not the root's over these lines")]
    Signature,
}

impl OfflineRoot {
    /// Writes down what was done.
    pub(super) async fn note(
        &self,
        at: Timestamp,
        action: &str,
        details: &[(&str, String)],
    ) -> Result<(), OfflineError> {
        let lines = self.lines().await?;
        let line = Line {
            number: lines.len() as u64 + 1,
            at,
            action: action.to_owned(),
            witnesses: self.witnesses.clone(),
            details: details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            previous: hash(lines.last().map(String::as_str).unwrap_or_default()),
        };
        let place = self.records.transcript_key(line.number)?;
        let value = crate::record::encode(&line)?;
        let commit = Commit::new().check_absent(place.clone()).put(place, value);
        self.records.commit(commit).await?;
        Ok(())
    }

    /// Everything that this root has done, signed by it.
    ///
    /// # Errors
    /// It cannot be signed.
    pub async fn transcript(&self) -> Result<String, OfflineError> {
        let mut text = String::new();
        for line in self.lines().await? {
            text.push_str(&line);
            text.push('\n');
        }
        let signer = self.keys.load_root(&self.records, &self.authority).await?;
        let (key, algorithm) = (self.authority.key(), self.authority.algorithm());
        let signature = signer.signer().sign(key, algorithm, text.as_bytes()).await;
        let signature = signature?;
        let seal = Seal { key_id: self.id().to_owned(), signature: hex::encode(signature) };
        let seal = crate::record::encode(&seal)?;
        text.push_str(&String::from_utf8_lossy(&seal));
        text.push('\n');
        Ok(text)
    }

    async fn lines(&self) -> Result<Vec<String>, OfflineError> {
        let records = self.records.transcript().await?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Ok(records.iter().map(|record| text(&record.value)).collect())
    }
}

/// Checks that a transcript is complete and signed by this root. Gives the number of its lines.
///
/// # Errors
/// See [`TranscriptError`].
pub fn verify_transcript(text: &str, root: &ParsedCertificate) -> Result<usize, TranscriptError> {
    let lines: Vec<&str> = text.lines().collect();
    let Some((last, lines)) = lines.split_last() else { return Err(TranscriptError::Unsigned) };
    let seal: Seal = serde_json::from_str(last).map_err(|_| TranscriptError::Unsigned)?;
    let mut previous = hash("");
    for (at, text) in lines.iter().enumerate() {
        let line: Line = serde_json::from_str(text).map_err(|_| TranscriptError::Line(at + 1))?;
        if line.previous != previous || line.number != at as u64 + 1 {
            return Err(TranscriptError::Order(at + 1));
        }
        previous = hash(text);
    }
    let signed: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
    let key = root.public_key().map_err(|_| TranscriptError::Signature)?;
    let signature = hex::decode(&seal.signature).map_err(|_| TranscriptError::Signature)?;
    let algorithm = SignatureAlgorithm::default_for(key.algorithm());
    key.verify(algorithm, signed.as_bytes(), &signature).map_err(|_| TranscriptError::Signature)?;
    Ok(lines.len())
}

fn hash(line: &str) -> String {
    hex::encode(digest(&SHA256, line.as_bytes()))
}
