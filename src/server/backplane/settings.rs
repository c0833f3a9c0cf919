use super::engine::Backplane;
use super::plane::Plane;
use crate::server::Server;

impl Server {
    /// Joins this server to others by an engine, so that its rooms span all of them: see
    /// [`backplane`](crate::server::backplane) for what does, and what is promised. The first call
    /// counts; it comes before there are clients.
    ///
    /// ```
    /// use sansws::server::backplane::Memory;
    /// use sansws::server::{Server, ServerError};
    ///
    /// # async fn run() -> Result<(), ServerError> {
    /// // two servers in one process
    /// let bus = Memory::new();
    /// let one = Server::bind("ws://127.0.0.1:8181").await?.backplane(bus.clone());
    /// let two = Server::bind("ws://127.0.0.1:8182").await?.backplane(bus);
    /// # Ok(())
    /// # }
    /// ```
    pub fn backplane(self, engine: impl Backplane) -> Self {
        self.backplane_at("sansws", engine)
    }

    /// Does as [`backplane`](Self::backplane), with another first part of all subjects than
    /// `sansws`: for applications that share an engine and are to hear nothing of each other. It
    /// is percent-encoded like the name of a room.
    pub fn backplane_at(self, prefix: &str, engine: impl Backplane) -> Self {
        self.hub().set_plane(Plane::new(prefix, engine));
        self
    }
}
