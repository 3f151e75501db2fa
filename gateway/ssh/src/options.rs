//! What a user's certificate allows and demands, as OpenSSH's servers understand it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chancery_identity::is_plain;

use crate::{CertificateError, Kind};

/// What a certificate allows and demands. Of users only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What has to be heeded: `force-command`, `source-address`; with their values.
    pub critical: BTreeMap<String, String>,
    /// What is allowed: `permit-pty` and the like, without a value.
    pub extensions: BTreeMap<String, String>,
}

const FORCE_COMMAND: &str = "force-command";
const SOURCE_ADDRESS: &str = "source-address";

const EXTENSIONS: [&str; 6] = [
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// How long the value of an option may be, in bytes.
const LONGEST_VALUE: usize = 4096;

impl Options {
    /// That a server does with them what they say.
    ///
    /// # Errors
    /// One is not known here, has a value that a server would not accept or would read otherwise, or
    /// stands in the certificate of a host.
    pub fn check(&self, kind: Kind) -> Result<(), CertificateError> {
        let Self { critical, extensions } = self;
        if kind == Kind::Host && !(critical.is_empty() && extensions.is_empty()) {
            return Err(CertificateError::OptionsOfHost);
        }
        for (name, value) in critical {
            let fault = match name.as_str() {
                _ if value.len() > LONGEST_VALUE => Some("it is longer than 4096 bytes"),
                FORCE_COMMAND => command_fault(value),
                SOURCE_ADDRESS => addresses_fault(value),
                _ => return Err(CertificateError::Option(shown(name))),
            };
            if let Some(reason) = fault {
                return Err(CertificateError::OptionValue { name: name.clone(), reason });
            }
        }
        for (name, value) in extensions {
            if !EXTENSIONS.contains(&name.as_str()) {
                return Err(CertificateError::Option(shown(name)));
            }
            if !value.is_empty() {
                let reason = "it has no value: servers refuse a certificate with one";
                return Err(CertificateError::OptionValue { name: name.clone(), reason });
            }
        }
        Ok(())
    }
}

/// What somebody else chose, for people.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// Whether a character is seen as what it is: no control character, nothing that changes the direction
/// of what follows, nothing without a width.
pub(crate) fn is_visible(c: char) -> bool {
    // Spaces of other kinds look like the one that separates words.
    is_plain(c) && (c == ' ' || !c.is_whitespace())
}

fn command_fault(command: &str) -> Option<&'static str> {
    if command.trim().is_empty() {
        // A shell would be started in place of a command.
        return Some("it names no command");
    }
    let visible = command.chars().all(is_visible);
    (!visible).then_some("it has a line break, a NUL or another character that is not printable")
}

/// As `sshd` reads them: addresses, or networks of which no bit behind the mask is set.
fn addresses_fault(list: &str) -> Option<&'static str> {
    let is_one = |text: &str| {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let Ok(address) = address.parse::<IpAddr>() else { return false };
        let Some(bits) = bits else { return true };
        let (value, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let plain = bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = bits.parse::<u32>().ok().filter(|bits| plain && *bits <= width);
        bits.is_some_and(|bits| value.trailing_zeros() >= width - bits || value == 0)
    };
    let all = list.split(',').all(is_one);
    (!all).then_some(
        "it is not a list of addresses and networks such as 192.0.2.1,10.0.0.0/8,2001:db8::/32, \
         without white space and with nothing behind the masks",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn critical(name: &str, value: &str) -> Result<(), CertificateError> {
        let critical = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Options { critical, ..Options::default() }.check(Kind::User)
    }

    #[test]
    fn commands_that_are_seen_as_they_are_run_are_taken() {
        for good in ["echo forced", "/usr/bin/rsync --server .", "sh -c 'a && b'", "müller"] {
            assert_eq!(critical("force-command", good), Ok(()), "{good}");
        }
        let long = "x".repeat(4097);
        for bad in
            ["", " ", "a\nb", "a\rb", "a\0", "\u{1b}[2J", "ls \u{202e}fr", "a\u{200b}", &long]
        {
            let refused = critical("force-command", bad);
            assert!(matches!(refused, Err(CertificateError::OptionValue { .. })), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_what_servers_read() {
        for good in [
            "192.0.2.1",
            "10.0.0.0/8",
            "0.0.0.0/0,::/0",
            "10.0.0.0/8,2001:db8::/32,::1",
            "192.0.2.1/32",
        ] {
            assert_eq!(critical("source-address", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ",",
            "10.0.0.0/8,",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "2001:db8::1/64",
            "10.0.0.0/8, 192.0.2.1",
            "example.com",
            "10.0.0.*",
            "!10.0.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "1.2.3",
            "::1%lo",
        ] {
            let refused = critical("source-address", bad);
            assert!(matches!(refused, Err(CertificateError::OptionValue { .. })), "{bad:?}");
        }
    }

    #[test]
    fn options_that_are_not_known_or_have_values_are_refused() {
        for name in ["approval", "verify-required", "", "force-command\n"] {
            assert!(matches!(critical(name, "x"), Err(CertificateError::Option(_))), "{name:?}");
        }
        let extension = |name: &str, value: &str, kind| {
            let extensions = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            Options { extensions, ..Options::default() }.check(kind)
        };
        assert_eq!(extension("permit-pty", "", Kind::User), Ok(()));
        assert!(extension("permit-pty", "yes", Kind::User).is_err());
        assert!(extension("permit-everything", "", Kind::User).is_err());
        assert_eq!(extension("permit-pty", "", Kind::Host), Err(CertificateError::OptionsOfHost));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(name in "force-command|source-address|.{0,20}", value in "[0-9a-f:./, ]{0,40}|.{0,40}") {
            let _ = critical(&name, &value);
        }
    }
}
