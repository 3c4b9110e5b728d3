//! The text forms of bytes and numbers: hex with `0x` and nothing else, decimal digits and nothing else.

use alloy_primitives::{Address, U256, hex};

/// Exactly `N` bytes in hex after `0x`, in any case.
pub(crate) fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    // `decode_to_slice` would take a second `0x`.
    (text.len() == 2 + 2 * N).then_some(bytes)
}

/// Bytes in hex after `0x`, at most `limit` of them.
pub(crate) fn bytes_up_to(text: &str, limit: usize) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
    if digits.len() > 2 * limit || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    hex::decode(digits).ok()
}

/// An address that somebody can be paid at: not zero.
pub(crate) fn payable_address(text: &str) -> Option<Address> {
    let address = Address::from(bytes_of::<20>(text)?);
    (!address.is_zero()).then_some(address)
}

/// A number in decimal digits, below 2^256.
pub(crate) fn quantity_of(text: &str) -> Option<U256> {
    let digits = !text.is_empty() && text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { U256::from_str_radix(text, 10).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_canonical_form_is_read() {
        assert_eq!(bytes_of::<2>("0xAb01"), Some([0xab, 1]));
        for text in ["ab01", "0x0xab", "0xab", "0xab0102", "0xzz01", "", "0x"] {
            assert_eq!(bytes_of::<2>(text), None, "{text:?}");
        }
        assert_eq!(bytes_up_to("0xab", 1), Some(vec![0xab]));
        for text in ["0xabcd", "0xa", "ab", "0x0x"] {
            assert_eq!(bytes_up_to(text, 1), None, "{text:?}");
        }
        assert_eq!(quantity_of("0010"), Some(U256::from(10)));
        let above = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        for text in ["", "-1", "+1", "0x10", " 1", "1.0", "1_0", above] {
            assert_eq!(quantity_of(text), None, "{text:?}");
        }
        assert_eq!(payable_address("0x0000000000000000000000000000000000000000"), None);
    }
}
