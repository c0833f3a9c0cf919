//! Properties that hold for all inputs, checked on random ones, in both roles.

mod closing;
mod emitted;
mod mask_keys;
mod messages;
mod model;
mod reference;
mod splits;
mod wire;
