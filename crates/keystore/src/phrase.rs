use std::fmt;

use bip39::{Language, Mnemonic};
use farthing_ambient::Entropy;
use zeroize::Zeroizing;

use crate::KeystoreError;
use crate::derive::Extended;
use crate::evm::EvmKey;

/// A BIP-39 recovery phrase in English, from which every key of the wallet follows. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Phrase(Mnemonic);

/// How many words a new recovery phrase has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Words {
    /// 128 bits of randomness, as strong as the curve.
    #[default]
    Twelve,
    /// 256 bits of randomness.
    TwentyFour,
}

impl Phrase {
    /// A new phrase. Show it to its owner once, for paper.
    ///
    /// # Errors
    /// [`KeystoreError::NoEntropy`]
    pub fn generate(words: Words, entropy: &dyn Entropy) -> Result<Self, KeystoreError> {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes)?;
        let used = match words {
            Words::Twelve => 16,
            Words::TwentyFour => 32,
        };
        Self::from_entropy(&bytes[..used])
    }

    /// Reads the words, in any case and spacing, and checks their checksum.
    ///
    /// # Errors
    /// [`KeystoreError::BadPhrase`]; it tells the place of an unknown word, not the word.
    pub fn parse(words: &str) -> Result<Self, KeystoreError> {
        let words = Zeroizing::new(words.to_lowercase());
        Mnemonic::parse_in_normalized(Language::English, &words).map(Self).map_err(bad)
    }

    /// The words, with one space between.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        // With its full size from the beginning: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(24 * 9));
        for word in self.0.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The key of the first account on EVM chains, m/44'/60'/0'/0/0, as other wallets have it.
    pub(crate) fn evm_key(&self) -> Result<EvmKey, KeystoreError> {
        let seed = Zeroizing::new(self.0.to_seed_normalized(""));
        Extended::master(&*seed)?.account(60).map(EvmKey::new)
    }

    pub(crate) fn from_entropy(bytes: &[u8]) -> Result<Self, KeystoreError> {
        Mnemonic::from_entropy_in(Language::English, bytes).map(Self).map_err(bad)
    }

    pub(crate) fn entropy(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_entropy())
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase")
    }
}

fn bad(error: bip39::Error) -> KeystoreError {
    KeystoreError::BadPhrase(match error {
        bip39::Error::UnknownWord(index) => format!("word {} is not in the English list", index + 1),
        bip39::Error::InvalidChecksum => "the checksum is wrong, so a word is wrong or misplaced".to_owned(),
        bip39::Error::BadWordCount(count) => format!("it has {count} words instead of 12 or 24"),
        _ => "the words do not fit together".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ambient::SeededEntropy;

    #[test]
    fn the_first_accounts_of_known_phrases() {
        // Both are known from every development chain and wallet.
        for (words, address) in [
            (
                "test test test test test test test test test test test junk",
                "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            ),
            (
                "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
                "0x9858EfFD232B4033E47d90003D41EC34EcaEda94",
            ),
        ] {
            let phrase = Phrase::parse(words).unwrap();
            assert_eq!(phrase.evm_key().unwrap().address().to_checksum(None), address);
            assert_eq!(phrase.words().as_str(), words);
        }
    }

    #[test]
    fn words_come_in_any_spacing_and_case() {
        let phrase =
            Phrase::parse("  Test test TEST test test test test\n test test test test junk ").unwrap();
        assert!(phrase.words().ends_with("test junk"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_words() {
        for (words, part) in [
            ("", "0 words"),
            ("test test", "2 words"),
            ("test test test test test test test test test test test secretword", "word 12"),
            ("test test test test test test test test test test test test", "checksum"),
        ] {
            let error = Phrase::parse(words).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("secretword"), "{error}");
        }
    }

    #[test]
    fn new_phrases_follow_from_the_entropy() {
        let phrase =
            |seed, words| Phrase::generate(words, &SeededEntropy::new(seed)).unwrap().words().to_string();
        assert_eq!(phrase(1, Words::Twelve).split(' ').count(), 12);
        assert_eq!(phrase(1, Words::TwentyFour).split(' ').count(), 24);
        assert_eq!(phrase(1, Words::Twelve), phrase(1, Words::Twelve));
        assert_ne!(phrase(1, Words::Twelve), phrase(2, Words::Twelve));
        let again = phrase(3, Words::TwentyFour);
        assert_eq!(Phrase::parse(&again).unwrap().words().as_str(), again);
    }
}
