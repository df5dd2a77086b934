//! What a visitor agreed to: categories, choices, acceptances, and the signed cookies that carry them.
//!
//! Pure: it reads no clock, draws no random number and knows no request.

mod category;
mod choices;
pub mod cookie;
mod identity;
pub mod once;
mod seal;
pub mod signal;

pub use category::{Categories, Category};
pub use choices::{Acceptance, Choices, Granted, Subject};
pub use cookie::Accepted;
pub use identity::{Code, Identity};
