//! §5.2, the base framing protocol, and the examples of §5.7.

use sansws::wire::{Opcode, ProtocolError};

use crate::pair::*;

/// §5.7: "A single-frame unmasked text message"
#[test]
fn client_receives_the_unmasked_hello() {
    let mut client = End::client();
    assert_eq!(client.events(b"\x81\x05Hello"), [Got::Text("Hello".into())]);
}

/// §5.7: "A single-frame masked text message"; F-8
#[test]
fn server_receives_the_masked_hello() {
    let mut server = End::server();
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(server.events(&hello), [Got::Text("Hello".into())]);
}

/// F-9: each reserved bit, on every opcode, at the first byte.
#[test]
fn reserved_bits_fail() {
    both_roles(|end| {
        let role = end.conn.role();
        for bit in [0x40, 0x20, 0x10] {
            for opcode in [Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong]
            {
                let mut end = End::new(role, &Default::default());
                end.assert_fails(&[0x80 | bit | opcode as u8], ProtocolError::ReservedBits);
            }
        }
    });
}
