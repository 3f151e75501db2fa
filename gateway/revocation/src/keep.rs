//! The last good CRLs of each source, on the disk: so that a start without network knows what was known before,
//! and that an older CRL is still an older one. What is there is public, and is verified again when it is read.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use chancery_files::Readers;
use chancery_x509::ParsedCertificate;

use crate::Source;
use crate::issuer::Issuer;

/// The largest certificate of a CA, in bytes.
const LARGEST_CERTIFICATE: usize = 64 * 1024;

/// How the names of files end.
pub(crate) const LIST: &str = "crl";
pub(crate) const ISSUER: &str = "issuer";

/// Where the CRLs of one source are kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    directory: PathBuf,
    /// How the names of the source's files begin.
    prefix: String,
}

impl Kept {
    pub(crate) fn of(directory: &Path, source: &Source) -> Self {
        let name = hex::encode(digest(&SHA256, source.to_string().as_bytes()));
        Self { directory: directory.to_owned(), prefix: format!("{name}-") }
    }

    fn file(&self, slot: u8, end: &str) -> PathBuf {
        self.directory.join(format!("{}{slot}.{end}", self.prefix))
    }

    /// Puts a CRL, and the certificate of the CA that signed it, there in place of the one before.
    pub(crate) fn put(&self, slot: u8, issuer: &Issuer, der: &[u8]) -> io::Result<()> {
        chancery_files::make_directory(&self.directory)?;
        let readers = Readers::Owner;
        chancery_files::replace(&self.file(slot, ISSUER), issuer.certificate.der(), readers)?;
        chancery_files::replace(&self.file(slot, LIST), der, readers)
    }

    /// The CRL, and the CA that signed it when it was put there.
    pub(crate) fn get(
        &self,
        slot: u8,
        largest: usize,
    ) -> io::Result<Option<(Vec<u8>, Option<Issuer>)>> {
        let Some(list) = file(&self.file(slot, LIST), largest)? else { return Ok(None) };
        let issuer = file(&self.file(slot, ISSUER), LARGEST_CERTIFICATE)?;
        let issuer = issuer.and_then(|der| ParsedCertificate::from_der(&der).ok());
        Ok(Some((list, issuer.map(Issuer::new))))
    }

    /// What this source's files are called.
    pub(crate) fn is(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(OsStr::to_str);
        path.parent() == Some(&*self.directory)
            && name.is_some_and(|name| name.starts_with(&self.prefix))
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
