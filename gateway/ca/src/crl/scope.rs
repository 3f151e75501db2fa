//! The scopes of CRLs: complete, delta, or one shard of all certificates.

use chancery_x509::Serial;

/// Which of the issuing CA's certificates a CRL is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All.
    Complete,
    /// All, but only what was added lately.
    Delta,
    /// One part of them.
    Shard(Shard),
}

/// One of several parts of all certificates. Which one a certificate belongs to follows from its serial
/// number and from how many there are, and its CRL's name says both: so a CRL is found for as long as the
/// certificate lives, however many shards newer certificates have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

impl Shard {
    /// Where a certificate belongs among so many. Serial numbers are random, so all get as much.
    pub(crate) fn of(serial: &Serial, count: u32) -> Self {
        let last = serial.as_bytes().last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        Self { index: last.checked_rem(count).unwrap_or(0), of: count }
    }

    /// All of so many.
    pub(crate) fn all(count: u32) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, of: count })
    }
}

impl Scope {
    /// Whether a CRL of this scope lists the certificate when it is revoked.
    pub(crate) fn contains(self, serial: &Serial) -> bool {
        match self {
            Self::Complete | Self::Delta => true,
            Self::Shard(shard) => Shard::of(serial, shard.of) == shard,
        }
    }

    /// The name of the CRL: that of its file without `.crl`, and of its number in the store.
    pub(crate) fn name(self, issuer: &str) -> String {
        match self {
            Self::Complete => issuer.to_owned(),
            Self::Delta => format!("{issuer}-delta"),
            Self::Shard(Shard { index, of }) => format!("{issuer}-{index}-of-{of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_is_in_one_shard_of_each_count() {
        for text in ["1", "ff", "80000000", "7fffffffffffffffffffffffffffffffffffffff"] {
            let serial: Serial = text.parse().unwrap();
            for count in [1, 2, 7, 1024] {
                let inside = Shard::all(count).filter(|s| Scope::Shard(*s).contains(&serial));
                assert_eq!(
                    inside.collect::<Vec<_>>(),
                    [Shard::of(&serial, count)],
                    "{text} {count}"
                );
            }
        }
        let five = "5".parse().unwrap();
        assert_eq!(Scope::Shard(Shard::of(&five, 4)).name("ab"), "ab-1-of-4");
    }
}
