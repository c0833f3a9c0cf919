//! Servers that are joined by a backplane. What any engine has to do is in `common`.

mod common;
mod cutting;
mod gaps;
mod memory;
mod presence;
