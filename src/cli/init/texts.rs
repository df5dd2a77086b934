//! The documents that a site begins with: complete outlines in Swedish and English, after articles 13 and 14 of the
//! GDPR and what the Swedish supervisors ask for.

/// A document to begin with.
pub(super) struct Outline {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) path: &'static str,
    swedish: &'static str,
    english: &'static str,
}

/// What the settings name, so that the documents need not ask for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) hosts: bool,
    pub(super) controller: bool,
    pub(super) organisation_number: bool,
    pub(super) address: bool,
    pub(super) email: bool,
    pub(super) processor: bool,
}

/// The documents of every site.
pub(super) const DOCUMENTS: [Outline; 2] = [
    Outline {
        name: "privacy",
        kind: "notice",
        path: "/cldoc/cookies-privacy-policies.htm",
        swedish: include_str!("privacy.sv.md"),
        english: include_str!("privacy.en.md"),
    },
    Outline {
        name: "user-agreement",
        kind: "agreement",
        path: "/cldoc/user-agreement.htm",
        swedish: include_str!("user-agreement.sv.md"),
        english: include_str!("user-agreement.en.md"),
    },
];

/// A place that is filled from the settings, or else is to be filled in: in Swedish, and in English.
type Place = (&'static str, fn(&Known) -> bool, &'static str, [&'static str; 2]);

const PLACES: [Place; 6] = [
    ("@hosts@", |known| known.hosts, "hosts", ["webbplatsens adress", "the address of the site"]),
    (
        "@controller_name@",
        |known| known.controller,
        "controller.name",
        ["den personuppgiftsansvarigas fullständiga namn", "the full name of the controller"],
    ),
    (
        "@controller_number@",
        |known| known.organisation_number,
        "controller.organisation_number",
        ["den personuppgiftsansvarigas organisationsnummer", "the controller's registration number"],
    ),
    (
        "@controller_address@",
        |known| known.address,
        "controller.address",
        ["den personuppgiftsansvarigas postadress", "the controller's postal address"],
    ),
    (
        "@controller_email@",
        |known| known.email,
        "controller.email",
        [
            "den personuppgiftsansvarigas e-postadress för personuppgiftsfrågor",
            "the controller's e-mail address for questions about personal data",
        ],
    ),
    (
        "@processor_name@",
        |known| known.processor,
        "processor.name",
        ["namnet på den som driver webbplatsen tekniskt", "the name of who operates the site technically"],
    ),
];

impl Outline {
    /// The file in one language. Those that there is no outline in get the English one, to be translated.
    pub(super) fn written(&self, language: &str, version: &str, known: &Known) -> String {
        let base = language.split('-').next().unwrap_or_default();
        let (text, tongue) = if base == "sv" { (self.swedish, 0) } else { (self.english, 1) };
        let mut text = text.replace("@version@", version);
        for (place, is_known, variable, questions) in PLACES {
            let question = questions.get(tongue).copied().unwrap_or_default();
            let filled = if is_known(known) {
                format!("{{{{ {variable} }}}}")
            } else {
                format!("[FILL IN: {question}]")
            };
            text = text.replace(place, &filled);
        }
        if matches!(base, "sv" | "en") {
            return text;
        }
        let note = format!(
            "\n---\n[FILL IN: translate title and text to `{language}`; they stand here in English]\n\n"
        );
        text.replacen("\n---\n", &note, 1)
    }
}
