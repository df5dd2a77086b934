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
mod balancing;
mod bombs;
mod charsets;
mod checkpoints;
mod commands;
mod compliance;
mod connections;
mod crashes;
mod curl;
mod deploy;
mod disks;
mod documents;
mod embeds;
mod floods;
mod forwarding;
mod fragments;
mod gates;
mod held;
mod hsts;
mod identity;
mod kit;
mod layouts;
mod ledger;
mod ledger_commands;
mod ledger_over_tls;
mod listeners;
mod lying;
mod mapping;
mod matrix;
mod obligations;
mod observability;
mod packaging;
mod pages;
mod process;
mod proxy_protocol;
mod receipts;
mod refusals;
mod reload;
mod replacement;
mod reports;
mod service_manager;
mod signals;
mod slow;
mod smuggling;
mod story;
mod streaming;
mod tls;
mod upstream_addresses;
mod upstream_http2;
mod upstreams;
mod websocket;
