//! Pages to read: they have no items.
//!
//! - [`coming_from`]: what you know from another library, and what it is called here.
//! - [`programs`]: a chat, rooms, topics, publishing over HTTP and more, in 40 lines each.
//! - [`pictures`]: the layers, how a connection ends, and where memory goes.

pub mod coming_from;
pub mod pictures;
pub mod programs;
