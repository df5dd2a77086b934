//! Consentry: a reverse proxy that makes the site behind it keep the law on cookies and privacy.
//!
//! The modules stand in the order of a request; ARCHITECTURE.md tells the story, and
//! `tests/integration/architecture.rs` holds the table of what may import what.

pub mod cli;
pub mod server;

pub mod config;

pub mod listener;
pub mod proxy;

pub mod site;
pub mod visit;

pub mod consent;
pub mod gate;

pub mod documents;
pub mod observed;
pub mod services;

pub mod upstream;

pub mod filter;

pub mod own;

pub mod ledger;

pub mod admin;

pub mod web;

pub mod clock;
pub mod telemetry;
