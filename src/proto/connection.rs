use super::Config;

/// One end of an open WebSocket connection.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// The server's end.
    pub fn server(_config: &Config) -> Self {
        Self {}
    }

    /// The client's end. `mask_seed` drives the generator of masking keys.
    pub fn client(_config: &Config, _mask_seed: [u8; 32]) -> Self {
        Self {}
    }
}
