//! The two forms of an ECDSA signature: two DER integers (RFC 3279 §2.2.3), as in X.509, and r and s
//! side by side, each padded to the length of the curve's order, as in PKCS#11 and JOSE (RFC 7518 §3.4).

use der::asn1::UintRef;
use der::{Decode, Encode, Sequence};

/// RFC 3279 §2.2.3.
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// DER out of r and s side by side; none if there is not the same number of bytes for each.
pub fn der_from_fixed(fixed: &[u8]) -> Option<Vec<u8>> {
    if fixed.is_empty() || !fixed.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = fixed.split_at(fixed.len() / 2);
    EcdsaSigValue { r: UintRef::new(r).ok()?, s: UintRef::new(s).ok()? }.to_der().ok()
}

/// r and s, each `length` bytes long, out of DER; none if the DER is broken or a number longer.
pub fn fixed_from_der(signature: &[u8], length: usize) -> Option<Vec<u8>> {
    let (r, s) = numbers(signature)?;
    let mut fixed = vec![0; length.checked_mul(2)?];
    for (number, half) in [r, s].into_iter().zip(fixed.chunks_exact_mut(length)) {
        let zeros = length.checked_sub(number.len())?;
        half.get_mut(zeros..)?.copy_from_slice(number);
    }
    Some(fixed)
}

/// r and s out of DER, without leading zeros; none if it is broken.
pub fn numbers(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = EcdsaSigValue::from_der(signature).ok()?;
    Some((value.r.as_bytes(), value.s.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leading_zeros_go_and_high_bits_get_one() {
        let mut fixed = vec![0; 64];
        fixed[31] = 0x7f;
        fixed[32] = 0x80;
        let der = der_from_fixed(&fixed).unwrap();
        assert_eq!(&der[..5], b"\x30\x26\x02\x01\x7f");
        assert_eq!(&der[5..9], b"\x02\x21\x00\x80");
    }

    #[test]
    fn an_odd_or_missing_signature_is_none() {
        assert_eq!(der_from_fixed(&[]), None);
        assert_eq!(der_from_fixed(&[1, 2, 3]), None);
        assert_eq!(fixed_from_der(&[], 32), None);
        let of_48_bytes = der_from_fixed(&[0xff; 96]).unwrap();
        assert_eq!(fixed_from_der(&of_48_bytes, 32), None);
    }

    proptest! {
        #[test]
        fn the_numbers_survive(fixed in proptest::collection::vec(any::<u8>(), 96..=96)) {
            let der = der_from_fixed(&fixed).unwrap();
            prop_assert_eq!(fixed_from_der(&der, 48).unwrap(), fixed);
        }
    }
}
