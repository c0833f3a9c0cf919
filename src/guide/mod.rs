//! Pages to read: they have no items.
//!
//! - [`coming_from`]: what you know from another library, and what it is called here.

pub mod coming_from;
