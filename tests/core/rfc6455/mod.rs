//! RFC 6455, section by section, on connections in memory.
//!
//! | what the RFC demands | where it is tested |
//! |---|---|
//! | a client masks every frame, a server none (§5.1, §5.3) | `s5_1_masking` |
//! | reserved bits, opcodes, lengths, any split of the bytes (§5.2, §5.7) | `s5_2_base_framing` |
//! | fragments: order, interleaving, empty ones (§5.4) | `s5_4_fragmentation`, `message_writer` |
//! | control frames: length, FIN, answers (§5.5) | `s5_5_control_frames`, `keep_alive` |
//! | sending and receiving messages (§6) | `s6_sending_and_receiving`, `prepared_messages` |
//! | messages in chunks, connections in halves | `chunks`, `splitting` |
//! | the closing handshake, its codes, its waits (§5.5.1, §7) | `s7_closing`, `closing_table` |
//! | text and close reasons are UTF-8, to the byte (§8.1) | `s8_utf8` |
//! | limits, exact and from the first header on (§10.4) | `s10_limits`, `buffers` |

mod buffers;
mod chunks;
mod closing_table;
mod keep_alive;
mod message_writer;
mod prepared_messages;
mod s10_limits;
mod s5_1_masking;
mod s5_2_base_framing;
mod s5_4_fragmentation;
mod s5_5_control_frames;
mod s6_sending_and_receiving;
mod s7_closing;
mod s8_utf8;
mod splitting;
