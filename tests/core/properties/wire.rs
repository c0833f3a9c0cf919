//! Headers and UTF-8.

use proptest::prelude::*;
use sansws::wire::{FrameHeader, Opcode, Utf8Validator, apply_mask, apply_mask_to};

fn header() -> impl Strategy<Value = FrameHeader> {
    let len = prop_oneof![0..130_u64, 65_500..65_600_u64, 0..1_u64 << 63];
    let opcode = prop_oneof![
        Just(Opcode::Continuation),
        Just(Opcode::Text),
        Just(Opcode::Binary),
        Just(Opcode::Close),
        Just(Opcode::Ping),
        Just(Opcode::Pong)
    ];
    let bits = any::<(bool, bool, bool, bool)>();
    (opcode, len, bits, any::<Option<[u8; 4]>>()).prop_map(|(opcode, len, bits, mask)| {
        let control = opcode.is_control();
        let (fin, rsv1, rsv2, rsv3) = bits;
        let payload_len = if control { len % 126 } else { len };
        FrameHeader { fin: fin || control, rsv1, rsv2, rsv3, opcode, mask, payload_len }
    })
}

/// Text that is mostly UTF-8: bytes of code points, some of them changed.
fn nearly_utf8() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (any::<String>(), changes).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (index, byte) in changes {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

/// Where `core` finds the text to be impossible: the number of bytes that are fine, if not all.
fn first_impossible(text: &[u8]) -> Option<usize> {
    (0..text.len()).find(|end| {
        core::str::from_utf8(&text[..=*end]).is_err_and(|error| error.error_len().is_some())
    })
}

/// U-13 for one text, cut into pieces of the given lengths, over and over.
fn check_utf8(text: &[u8], pieces: &[usize]) {
    let mut validator = Utf8Validator::new();
    let mut at = 0;
    let mut result = Ok(());
    for len in pieces.iter().cycle() {
        let end = (at + len).min(text.len());
        result = validator.update(&text[at..end]);
        if result.is_err() || end == text.len() {
            break;
        }
        at = end;
    }
    match first_impossible(text) {
        Some(impossible) => {
            assert!(result.is_err());
            assert!(at <= impossible, "a piece before the impossible byte was refused");
        }
        None => {
            assert_eq!(result, Ok(()), "refused without an impossible byte");
            assert_eq!(validator.finish().is_ok(), core::str::from_utf8(text).is_ok());
        }
    }
    // byte by byte it fails exactly there
    let mut validator = Utf8Validator::new();
    let failed = text.iter().position(|byte| validator.update(&[*byte]).is_err());
    assert_eq!(failed, first_impossible(text));
}

proptest! {
    /// F-11, F-12: encode, then parse, is the identity; every prefix waits for more.
    #[test]
    fn headers_round_trip(header in header()) {
        let encoded = header.encode();
        prop_assert!(encoded.len() <= FrameHeader::MAX_LEN);
        for end in 0..encoded.len() {
            prop_assert_eq!(FrameHeader::parse(&encoded[..end]), Ok(None));
        }
        let mut more = encoded.to_vec();
        more.extend([0xff; 20]);
        prop_assert_eq!(FrameHeader::parse(&more), Ok(Some((header, encoded.len()))));
    }

    /// What parses is encoded to the same bytes: there is one form for each header.
    #[test]
    fn parsed_headers_encode_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
        if let Ok(Some((header, len))) = FrameHeader::parse(&bytes) {
            prop_assert_eq!(&*header.encode(), &bytes[..len]);
        }
    }

    /// A verdict does not change with what follows.
    #[test]
    fn header_verdicts_are_final(bytes in prop::collection::vec(any::<u8>(), 14..16)) {
        let mut verdict = None;
        for end in 0..=bytes.len() {
            let now = FrameHeader::parse(&bytes[..end]);
            if let Some(verdict) = verdict {
                prop_assert_eq!(now, verdict);
            } else if now != Ok(None) {
                verdict = Some(now);
            }
        }
        prop_assert!(verdict.is_some());
    }

    /// F-8: masking twice is nothing; in two pieces is the same as in one; a masked copy too.
    #[test]
    fn masking(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        key in any::<[u8; 4]>(),
        offset in any::<usize>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut masked = payload.clone();
        apply_mask(&mut masked, key, offset);
        let mut copy = vec![0; payload.len()];
        apply_mask_to(&mut copy, &payload, key, offset);
        prop_assert_eq!(&copy, &masked);

        let mut pieces = payload.clone();
        let (head, tail) = pieces.split_at_mut(cut.index(payload.len() + 1));
        apply_mask(head, key, offset);
        apply_mask(tail, key, offset.wrapping_add(head.len()));
        prop_assert_eq!(&pieces, &masked);

        apply_mask(&mut masked, key, offset);
        prop_assert_eq!(masked, payload);
    }

    /// U-13
    #[test]
    fn utf8_agrees_with_core_on_any_bytes(
        text in prop::collection::vec(any::<u8>(), 0..20),
        pieces in prop::collection::vec(1..6_usize, 1..5),
    ) {
        check_utf8(&text, &pieces);
    }

    /// U-13, U-2
    #[test]
    fn utf8_agrees_with_core_on_near_misses(
        text in nearly_utf8(),
        pieces in prop::collection::vec(1..6_usize, 1..5),
    ) {
        check_utf8(&text, &pieces);
    }
}
