//! The halves of a split socket, in threads of their own.
//!
//! | what is promised | where it is tested |
//! |---|---|
//! | both directions at once; messages of many threads go out whole; answers | `threads` |
//! | a sender learns of the end, also while blocked; time-outs hold whoever waits | `endings` |

mod endings;
mod threads;
