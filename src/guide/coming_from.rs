//! Tables for those who know another WebSocket library.
