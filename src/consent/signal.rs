//! Signals that a browser sends on its user's behalf: Global Privacy Control (W3C, `Sec-GPC`; where an extension sets
//! `navigator.globalPrivacyControl` alone, a cookie that the guard writes stands in for the header), and Do Not Track.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Category, Choices, Granted};

/// What a site does with `Sec-GPC: 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GlobalPrivacyControl {
    /// Marketing counts as refused, unless the visitor agreed to it while the signal was on.
    #[default]
    Respect,
    /// The signal changes nothing.
    Ignore,
}

/// What a site does with `DNT: 1` (W3C, Tracking Preference Expression, given up in 2019; some browsers still send it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DoNotTrack {
    /// It counts as Global Privacy Control does.
    Respect,
    /// It changes nothing.
    #[default]
    Ignore,
}

/// What may act, given what the visitor chose and what the browser signals.
pub fn granted(choices: Option<&Choices>, signal: Signal) -> Granted {
    let Some(choices) = choices else { return Granted::default() };
    match signal {
        signal if signal.opts_out() && !choices.under_signal => {
            // A service chosen by name may be marketing too, and the choice is older than the signal.
            Granted::new(choices.categories.without(Category::Marketing), BTreeSet::new())
        }
        _ => Granted::new(choices.categories, choices.services.clone()),
    }
}

/// What is left of choices of which a signal takes something back; nothing where it takes nothing back.
pub fn left_of(choices: &Choices, signal: Signal) -> Option<Granted> {
    let left = granted(Some(choices), signal);
    let chosen = Granted::new(choices.categories, choices.services.clone());
    (left != chosen).then_some(left)
}

/// Whether the browser opted out for its user, and the site listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `Sec-GPC: 1`, or the guard's word for it, on a site that respects it.
    GlobalPrivacyControl,
    /// `DNT: 1`, and nothing stronger, on a site that respects it.
    DoNotTrack,
    /// No signal; Global Privacy Control would be heard.
    Absent,
    /// No signal that the site listens to.
    Ignored,
}

impl Signal {
    /// Whether the browser opted out for its user.
    pub fn opts_out(self) -> bool {
        self.name().is_some()
    }

    /// What the signal is called in every language; none where there is none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Signal::GlobalPrivacyControl => Some("Global Privacy Control"),
            Signal::DoNotTrack => Some("Do Not Track"),
            Signal::Absent | Signal::Ignored => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::consent::{Categories, Subject};

    fn choices(under_signal: bool) -> Choices {
        Choices {
            subject: Subject(Uuid::nil()),
            categories: Categories::ALL,
            services: BTreeSet::new(),
            made_at: Timestamp::UNIX_EPOCH,
            receipt: None,
            under_signal,
        }
    }

    #[test]
    fn without_choices_nothing_optional_may_act() {
        for signal in [Signal::Absent, Signal::GlobalPrivacyControl, Signal::DoNotTrack] {
            assert_eq!(granted(None, signal), Granted::default());
        }
    }

    #[test]
    fn a_signal_takes_marketing_back_from_an_older_choice() {
        for signal in [Signal::GlobalPrivacyControl, Signal::DoNotTrack] {
            let granted = granted(Some(&choices(false)), signal);
            assert!(!granted.categories().covers(Category::Marketing));
            assert!(granted.categories().covers(Category::Statistics));
        }
    }

    #[test]
    fn a_signal_that_takes_nothing_back_leaves_nothing_to_record() {
        for (categories, signal, expected) in [
            (
                Categories::ALL,
                Signal::GlobalPrivacyControl,
                Some(Categories::ALL.without(Category::Marketing)),
            ),
            (Categories::ALL, Signal::DoNotTrack, Some(Categories::ALL.without(Category::Marketing))),
            (Categories::ALL.without(Category::Marketing), Signal::GlobalPrivacyControl, None),
            (Categories::NONE, Signal::GlobalPrivacyControl, None),
            (Categories::ALL, Signal::Absent, None),
            (Categories::ALL, Signal::Ignored, None),
        ] {
            let choices = Choices { categories, services: BTreeSet::new(), ..choices(false) };
            let left = left_of(&choices, signal);
            assert_eq!(left.map(|left| left.categories()), expected, "{categories:?} {signal:?}");
        }
        assert_eq!(
            left_of(&choices(true), Signal::GlobalPrivacyControl),
            None,
            "what was chosen under the signal outranks it"
        );
    }

    #[test]
    fn a_choice_made_under_the_signal_outranks_it() {
        assert!(granted(Some(&choices(true)), Signal::GlobalPrivacyControl).is_all());
    }
}
