//! Pages to read: they have no items.
//!
//! - [`coming_from`]: what you know from another library, and what it is called here.
#![forbid(unsafe_code)]

pub mod coming_from;
