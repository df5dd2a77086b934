//! The integration tests: real sockets, a module per promise.

#![expect(unreachable_pub, reason = "what is `pub` in the kit is for the tests beside it")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the kit is a test too: whatever goes wrong in it should fail loudly and at once"
)]

mod support;

mod architecture;
mod bombs;
mod charsets;
mod connections;
mod curl;
mod floods;
mod forwarding;
mod fragments;
mod kit;
mod lying;
mod mapping;
mod matrix;
mod process;
mod slow;
mod smuggling;
mod story;
mod streaming;
mod upstreams;
mod websocket;
