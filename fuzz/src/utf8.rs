use super::Input;
use sansws::wire::Utf8Validator;

/// [`Utf8Validator`] against the standard library: the same verdict for any bytes in any pieces,
/// and failure at the first byte after which no text could follow.
pub fn utf8(data: &[u8]) {
    let input = Input::new(data);
    let impossible = first_impossible(input.bytes);
    let valid = str::from_utf8(input.bytes).is_ok();

    let mut whole = Utf8Validator::new();
    assert_eq!(whole.update(input.bytes).is_ok(), impossible.is_none());
    if impossible.is_none() {
        assert_eq!(whole.finish().is_ok(), valid);
    }

    let mut pieces = Utf8Validator::new();
    let mut fed = 0;
    for piece in input.pieces() {
        fed += piece.bytes.len();
        let still_possible = impossible.is_none_or(|at| at >= fed);
        assert_eq!(pieces.update(piece.bytes).is_ok(), still_possible, "after {fed} bytes");
        if !still_possible {
            return;
        }
        // between two pieces a copy of it can tell whether the text may end there
        let complete = str::from_utf8(&input.bytes[..fed]).is_ok();
        assert_eq!(pieces.clone().finish().is_ok(), complete, "after {fed} bytes");
    }
    assert_eq!(pieces.finish().is_ok(), valid);
    if valid {
        assert!(pieces.update(b"a").is_ok(), "ready for the next text");
    }
}

/// The index of the first byte with which `bytes` cannot be the beginning of a text any more.
fn first_impossible(bytes: &[u8]) -> Option<usize> {
    let valid = str::from_utf8(bytes).err()?.valid_up_to();
    // a prefix that ends inside a code point has an error without a length
    (valid..bytes.len()).take(4).find(|&last| {
        str::from_utf8(&bytes[..=last]).is_err_and(|error| error.error_len().is_some())
    })
}
