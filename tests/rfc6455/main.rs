//! RFC 6455, section by section, on connections in memory.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod buffers;
mod chunks;
mod closing_table;
mod keep_alive;
mod message_writer;
mod pair;
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
