use sansws::server::fuzzing::envelope;

/// What other programs, or broken servers, publish on the subject of a room: a message, a valid
/// envelope, or nothing.
///
/// What is no envelope is a message of all its bytes. What is one, and read, says the same when it
/// is written again; a message can be sent as it is by any connection.
pub fn backplane_envelope(data: &[u8]) {
    let Some((again, message)) = envelope(data) else {
        assert_eq!(data.first(), Some(&MARK), "a message of another program is dropped");
        return;
    };
    assert_eq!(again[..2], [MARK, 1]);
    let is_envelope = data.first() == Some(&MARK);
    if is_envelope {
        assert!(data.len() >= 20);
        assert_eq!(again[4..20], data[4..20], "another server, or another client");
    }
    // a kind of 1 is a message
    assert_eq!(message.is_some(), !is_envelope || data[2] == 1);
    let Some((opcode, payload)) = message else { return };
    match (is_envelope, opcode) {
        (_, 1) => assert!(str::from_utf8(&payload).is_ok()),
        (false, 2) => assert!(str::from_utf8(&payload).is_err()),
        (true, 2) => {}
        // RFC 6455 §5.5
        (true, 9 | 10) => assert!(payload.len() <= 125),
        _ => panic!("opcode {opcode}"),
    }
    if is_envelope {
        assert_eq!(again, data, "all bytes of the envelope of a message count");
    } else {
        assert_eq!(payload, data);
    }
}

/// The first byte of an envelope.
const MARK: u8 = 0xFF;
