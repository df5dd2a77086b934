//! The front matter of a document as it is written.

use serde::Deserialize;

use super::words::{Day, Text, Time};

/// The keys between the two `---`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FrontMatter {
    pub(in crate::config) title: Text,
    pub(in crate::config) version: Text,
    #[serde(default)]
    pub(in crate::config) reacceptance: Option<bool>,
    #[serde(default)]
    pub(in crate::config) effective: Option<Day>,
    #[serde(default)]
    pub(in crate::config) grace: Option<Time>,
    #[serde(default)]
    pub(in crate::config) changes: Option<Text>,
}
