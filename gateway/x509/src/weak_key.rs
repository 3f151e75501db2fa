//! Finds weak public keys: RSA keys with bad sizes, exponents or primes, and Ed25519 points of small order.

use num_bigint::BigUint;

/// What is wrong with a public key that is well-formed and yet must not be certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// RSA below 2,048 bits.
    #[error("the RSA key has {bits} bits, at least 2,048 are required")]
    RsaTooSmall {
        /// Length of the modulus.
        bits: u32,
    },
    /// RSA beyond 8,192 bits, which only slows everybody down.
    #[error("the RSA key has {bits} bits, at most 8,192 are accepted")]
    RsaTooLarge {
        /// Length of the modulus.
        bits: u32,
    },
    /// An RSA modulus whose length is no multiple of 8 bits.
    #[error("the RSA key has {bits} bits, which is no multiple of 8")]
    RsaOddLength {
        /// Length of the modulus.
        bits: u32,
    },
    /// An RSA public exponent that is even, below 65,537 or beyond 32 bits.
    #[error("the RSA public exponent must be odd, at least 65,537 and below 2^32")]
    RsaExponent,
    /// The RSA modulus has a small factor, so it is not the product of two large primes.
    #[error("the RSA modulus is divisible by {factor}")]
    RsaSmallFactor {
        /// The factor.
        factor: u32,
    },
    /// The RSA primes are so close to each other that Fermat's method finds them at once
    /// (CVE-2022-26320).
    #[error("the primes of the RSA key are too close to each other (Fermat factorisation)")]
    RsaClosePrimes,
    /// The RSA key bears the fingerprint of Infineon's prime generator (ROCA, CVE-2017-15361).
    #[error("the RSA key was made by a generator with the ROCA flaw (CVE-2017-15361)")]
    Roca,
    /// An Ed25519 point of small order, under which anybody can make signatures.
    #[error("the Ed25519 public key is a point of small order")]
    Ed25519SmallOrder,
}

const MIN_RSA_BITS: u32 = 2048;
const MAX_RSA_BITS: u32 = 8192;
const FERMAT_ROUNDS: u32 = 100;

/// Looks for weaknesses of an RSA key with this modulus and exponent, big-endian.
pub(crate) fn check_rsa(bits: u32, modulus: &[u8], exponent: &[u8]) -> Result<(), WeakKey> {
    check_rsa_size(bits)?;
    if !bits.is_multiple_of(8) {
        return Err(WeakKey::RsaOddLength { bits });
    }
    let exponent_value =
        exponent.iter().fold(0_u64, |value, &b| (value << 8).saturating_add(u64::from(b)));
    if bit_length(exponent) > 32 || exponent_value < 65_537 || exponent_value % 2 == 0 {
        return Err(WeakKey::RsaExponent);
    }
    if let Some(factor) = small_factor(modulus) {
        return Err(WeakKey::RsaSmallFactor { factor });
    }
    if has_roca_fingerprint(modulus) {
        return Err(WeakKey::Roca);
    }
    if has_close_primes(modulus) {
        return Err(WeakKey::RsaClosePrimes);
    }
    Ok(())
}

/// The part of [`check_rsa`] that costs nothing.
pub(crate) fn check_rsa_size(bits: u32) -> Result<(), WeakKey> {
    match bits {
        0..MIN_RSA_BITS => Err(WeakKey::RsaTooSmall { bits }),
        MIN_RSA_BITS..=MAX_RSA_BITS => Ok(()),
        _ => Err(WeakKey::RsaTooLarge { bits }),
    }
}

/// Length in bits of a big-endian number.
pub(crate) fn bit_length(number: &[u8]) -> u32 {
    let Some(start) = number.iter().position(|&b| b != 0) else { return 0 };
    let significant = number.get(start..).unwrap_or_default();
    let top = significant.first().map_or(0, |b| b.leading_zeros());
    u32::try_from(significant.len()).unwrap_or(u32::MAX / 8).saturating_mul(8).saturating_sub(top)
}

/// Trial division by every number below 1,000 that can be prime; a composite one cannot be hit
/// before its own factors are.
fn small_factor(modulus: &[u8]) -> Option<u32> {
    std::iter::once(2).chain((3..1000).step_by(2)).find(|&factor| remainder(modulus, factor) == 0)
}

/// `number mod divisor`; `divisor` must be at least 1 and at most 2^24 for the steps to stay exact.
fn remainder(number: &[u8], divisor: u32) -> u32 {
    number.iter().fold(0, |rest, &byte| ((rest << 8) | u32::from(byte)) % divisor)
}

/// The test of Nemec and others, "The Return of Coppersmith's Attack" (CCS 2017), §3: the primes of
/// the flawed generator are `k·M + (65537^a mod M)` with M a product of small primes, so modulo each
/// of these the modulus lies in the subgroup that 65537 generates. Only primes in which that subgroup
/// is small tell anything; a good key passes all of them by chance about once in 2^28.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    const TELLING: [u32; 17] =
        [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    TELLING.iter().all(|&prime| {
        let wanted = remainder(modulus, prime);
        let mut power = 1;
        for _ in 1..prime {
            if power == wanted {
                return true;
            }
            power = power * (65_537 % prime) % prime;
        }
        false
    })
}

/// Fermat's method for a hundred rounds: finds p and q if `(p+q)/2` is within a hundred of the square
/// root of the modulus. Independent random primes are never that close.
fn has_close_primes(modulus: &[u8]) -> bool {
    let n = BigUint::from_bytes_be(modulus);
    let mut a = n.sqrt();
    if &a * &a < n {
        a += 1_u8;
    }
    let mut b_squared = &a * &a - &n;
    for _ in 0..FERMAT_ROUNDS {
        if is_square(&b_squared) {
            return true;
        }
        // (a+1)^2 - n = a^2 - n + 2a + 1
        b_squared += &a << 1_u8;
        b_squared += 1_u8;
        a += 1_u8;
    }
    false
}

fn is_square(number: &BigUint) -> bool {
    // Squares are 0, 1, 4, 9, 16 or 17 ... modulo 64: twelve residues of 64 spare most square roots.
    const RESIDUES: u64 = {
        let mut set = 0;
        let mut i = 0_u64;
        while i < 64 {
            set |= 1 << (i * i % 64);
            i += 1;
        }
        set
    };
    let low = number.iter_u64_digits().next().unwrap_or(0) % 64;
    if RESIDUES >> low & 1 == 0 {
        return false;
    }
    let root = number.sqrt();
    &root * &root == *number
}

/// The encodings, canonical and not, of the points whose order divides 8. The sign bit is masked.
pub(crate) fn check_ed25519(key: &[u8]) -> Result<(), WeakKey> {
    const ORDER_8_A: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    const ORDER_8_B: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ];
    let mut masked = [0; 32];
    masked.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    if let Some(last) = masked.last_mut() {
        *last &= 0x7f;
    }
    let (first, rest, last) = match masked {
        [first, ref rest @ .., last] => (first, rest, last),
    };
    // y = 0, 1 and, little-endian with p = 2^255 - 19: p - 1, p, p + 1.
    let tiny = first <= 1 && last == 0 && rest.iter().all(|&b| b == 0);
    let near_p = matches!(first, 0xec..=0xee) && last == 0x7f && rest.iter().all(|&b| b == 0xff);
    if tiny || near_p || masked == ORDER_8_A || masked == ORDER_8_B {
        Err(WeakKey::Ed25519SmallOrder)
    } else {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod moduli;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::RsaKeyPair;

    use super::*;
    use crate::testing::rsa_spki;
    use crate::{KeyAlgorithm, PublicKey};

    fn strength(modulus: &str, exponent: u64) -> Result<(), WeakKey> {
        PublicKey::from_spki_der(&rsa_spki(modulus, exponent)).unwrap().check_strength()
    }

    #[test]
    fn good_keys_pass() {
        assert_eq!(strength(moduli::GOOD, 65_537), Ok(()));
        for size in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096] {
            let pair = RsaKeyPair::generate(size).unwrap();
            let spki = aws_lc_rs::encoding::AsDer::as_der(
                aws_lc_rs::signature::KeyPair::public_key(&pair),
            )
            .unwrap();
            let key = PublicKey::from_spki_der(spki.as_ref()).unwrap();
            assert_eq!(key.check_strength(), Ok(()));
            let bits = u32::try_from(size.len() * 8).unwrap();
            assert_eq!(key.algorithm(), KeyAlgorithm::Rsa { bits });
        }
    }

    #[test]
    fn close_primes_are_found_up_to_the_bound() {
        assert_eq!(strength(moduli::NEXT_PRIME, 65_537), Err(WeakKey::RsaClosePrimes));
        assert_eq!(strength(moduli::CLOSE_PRIMES, 65_537), Err(WeakKey::RsaClosePrimes));
        assert_eq!(strength(moduli::DISTANT_PRIMES, 65_537), Ok(()));
    }

    #[test]
    fn a_square_is_no_modulus() {
        let root = BigUint::from_bytes_be(&hex::decode(moduli::GOOD).unwrap()).sqrt();
        let square = hex::encode((&root * &root).to_bytes_be());
        // The root may have small factors; either refusal is right.
        assert!(matches!(
            strength(&square, 65_537),
            Err(WeakKey::RsaClosePrimes | WeakKey::RsaSmallFactor { .. })
        ));
        assert!(has_close_primes(&hex::decode(square).unwrap()));
    }

    #[test]
    fn the_roca_fingerprint_is_found() {
        assert_eq!(strength(moduli::ROCA, 65_537), Err(WeakKey::Roca));
    }

    #[test]
    fn small_factors_are_found() {
        assert_eq!(
            strength(moduli::SMALL_FACTOR, 65_537),
            Err(WeakKey::RsaSmallFactor { factor: 997 })
        );
        let even = moduli::GOOD.replace(|c: char| !c.is_ascii_hexdigit(), "");
        let even = format!("{}0", &even[..even.len() - 1]);
        assert_eq!(strength(&even, 65_537), Err(WeakKey::RsaSmallFactor { factor: 2 }));
    }

    #[test]
    fn exponents_are_odd_and_neither_small_nor_huge() {
        for bad in [1, 3, 17, 257, 65_535, 65_536, 65_538, (1 << 32) + 1, u64::MAX] {
            assert_eq!(strength(moduli::GOOD, bad), Err(WeakKey::RsaExponent), "{bad}");
        }
        for good in [65_537, 65_539, (1 << 32) - 1] {
            assert_eq!(strength(moduli::GOOD, good), Ok(()), "{good}");
        }
    }

    #[test]
    fn sizes_outside_2048_to_8192_bits_are_refused() {
        let of_bits = |bits: usize| {
            let mut number = BigUint::from(1_u8) << (bits - 1);
            number += 1_u8;
            hex::encode(number.to_bytes_be())
        };
        assert_eq!(strength(&of_bits(1024), 65_537), Err(WeakKey::RsaTooSmall { bits: 1024 }));
        assert_eq!(strength(&of_bits(2047), 65_537), Err(WeakKey::RsaTooSmall { bits: 2047 }));
        assert_eq!(strength(&of_bits(2049), 65_537), Err(WeakKey::RsaOddLength { bits: 2049 }));
        assert_eq!(strength(&of_bits(8200), 65_537), Err(WeakKey::RsaTooLarge { bits: 8200 }));
        assert_eq!(strength("05", 65_537), Err(WeakKey::RsaTooSmall { bits: 3 }));
    }

    #[test]
    fn squares_are_told_from_others() {
        for root in 0_u32..2000 {
            let square = BigUint::from(root) * BigUint::from(root);
            assert!(is_square(&square), "{square}");
            if root > 1 {
                assert!(!is_square(&(&square + 1_u8)), "{square} + 1");
                assert!(!is_square(&(&square - 1_u8)), "{square} - 1");
            }
        }
    }

    #[test]
    fn ed25519_points_of_small_order_are_refused() {
        // The canonical encodings of all eight points whose order divides 8, then encodings of the
        // same beyond the field's modulus.
        for weak in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ] {
            let key = hex::decode(weak).unwrap();
            assert_eq!(check_ed25519(&key), Err(WeakKey::Ed25519SmallOrder), "{weak}");
        }
        // RFC 8032 §7.1, test 1; and the smallest y of a point with a large order.
        for good in [
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "0300000000000000000000000000000000000000000000000000000000000000",
        ] {
            assert_eq!(check_ed25519(&hex::decode(good).unwrap()), Ok(()), "{good}");
        }
    }
}
