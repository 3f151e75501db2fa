//! The last good CRL of each source, on the disk: so that a start without network knows what was known before,
//! and that an older CRL is still an older one. What is there is public, and is verified again when it is read.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use chancery_files::Readers;
use chancery_x509::ParsedCertificate;

use crate::Source;
use crate::issuer::Issuer;

/// The largest certificate of a CA, in bytes.
const LARGEST_CERTIFICATE: usize = 64 * 1024;

/// Where the CRL of one source is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    list: PathBuf,
    issuer: PathBuf,
}

impl Kept {
    pub(crate) fn of(directory: &Path, source: &Source) -> Self {
        let name = hex::encode(digest(&SHA256, source.to_string().as_bytes()));
        let file = |end: &str| directory.join(format!("{name}.{end}"));
        Self { list: file("crl"), issuer: file("issuer") }
    }

    /// Puts a CRL, and the certificate of the CA that signed it, there in place of the one before.
    pub(crate) fn put(&self, issuer: &Issuer, der: &[u8]) -> io::Result<()> {
        if let Some(directory) = self.list.parent() {
            chancery_files::make_directory(directory)?;
        }
        chancery_files::replace(&self.issuer, issuer.certificate.der(), Readers::Owner)?;
        chancery_files::replace(&self.list, der, Readers::Owner)
    }

    /// The CRL, and the CA that signed it when it was put there.
    pub(crate) fn get(&self, largest: usize) -> io::Result<Option<(Vec<u8>, Option<Issuer>)>> {
        let Some(list) = file(&self.list, largest)? else { return Ok(None) };
        let issuer = file(&self.issuer, LARGEST_CERTIFICATE)?;
        let issuer = issuer.and_then(|der| ParsedCertificate::from_der(&der).ok());
        Ok(Some((list, issuer.map(Issuer::new))))
    }

    /// What this source's files are called.
    pub(crate) fn is(&self, path: &Path) -> bool {
        path == self.list || path == self.issuer
    }
}

/// What is in a file; none if there is no such file.
pub(crate) fn file(path: &Path, largest: usize) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        // A pipe would be waited for without end.
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a file")),
        Ok(_) => {
            let limit = u64::try_from(largest).unwrap_or(u64::MAX);
            let mut content = vec![];
            std::fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
            if content.len() > largest {
                return Err(io::Error::other(format!("it has more than {largest} bytes")));
            }
            Ok(Some(content))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
