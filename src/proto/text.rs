//! Owned text. The one place of the crate, with [`Text`](super::Text), that takes bytes for a `str`
//! without looking at them again: the validator has passed them as they arrived, and a second pass
//! costs as much as the first.
#![allow(unsafe_code)]

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::convert::Infallible;
use core::hash::{Hash, Hasher};
use core::ops::Deref;
use core::{fmt, str};

use bytes::Bytes;

/// A reference-counted string: [`Bytes`] that are known to be UTF-8.
///
/// Cloning costs a reference count.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utf8Bytes(Bytes);

impl Utf8Bytes {
    /// Makes a string that lives as long as the program. Allocates nothing.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Returns the string.
    #[inline]
    pub fn as_str(&self) -> &str {
        self
    }

    /// Returns the bytes, without a copy.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// # Safety
    ///
    /// `bytes` must be UTF-8.
    pub(super) unsafe fn from_bytes_unchecked(bytes: Bytes) -> Self {
        debug_assert!(str::from_utf8(&bytes).is_ok());
        Self(bytes)
    }
}

/// # Safety
///
/// `bytes` must be UTF-8.
#[inline]
pub(super) unsafe fn str_unchecked(bytes: &[u8]) -> &str {
    debug_assert!(str::from_utf8(bytes).is_ok());
    // SAFETY: the caller vouches for it.
    unsafe { str::from_utf8_unchecked(bytes) }
}

impl Deref for Utf8Bytes {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        // SAFETY: no constructor lets anything but UTF-8 in, and `Bytes` do not change.
        unsafe { str_unchecked(&self.0) }
    }
}

/// As that of `str`, so that a map with these for keys can be asked with a `str`.
impl Hash for Utf8Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Utf8Bytes {
    fn borrow(&self) -> &str {
        self
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Utf8Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes, without a copy.
impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0
    }
}

/// Costs a copy.
impl From<Utf8Bytes> for String {
    fn from(text: Utf8Bytes) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<Cow<'_, str>> for Utf8Bytes {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl str::FromStr for Utf8Bytes {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl TryFrom<Vec<u8>> for Utf8Bytes {
    type Error = str::Utf8Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self, str::Utf8Error> {
        Bytes::from(bytes).try_into()
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, str::Utf8Error> {
        str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;
    use core::hash::BuildHasher;

    use super::*;

    #[test]
    fn it_is_a_string_as_others_are() {
        let text = Utf8Bytes::from("h\u{e9}llo");
        assert!(text == *"h\u{e9}llo" && text == "h\u{e9}llo");
        assert_eq!(String::from(text.clone()), text.to_string());
        assert_eq!(Bytes::from(text.clone()), text.as_bytes());
        assert_eq!("h\u{e9}llo".parse::<Utf8Bytes>(), Ok(text.clone()));
        assert_eq!(Utf8Bytes::from(Cow::Borrowed("h\u{e9}llo")), text);
        assert_eq!(Utf8Bytes::try_from(Vec::from("h\u{e9}llo")), Ok(text.clone()));
        assert!(Utf8Bytes::try_from(Vec::from(b"\xff")).is_err());
        let by_text = BTreeMap::from([(text.clone(), 1)]);
        assert_eq!(by_text.get("h\u{e9}llo"), Some(&1));
        #[cfg(feature = "std")]
        {
            let hasher = std::hash::RandomState::new();
            assert_eq!(hasher.hash_one(&text), hasher.hash_one("h\u{e9}llo"), "as Borrow demands");
        }
    }
}
