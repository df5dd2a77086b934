//! The proxy's own pages: settings, documents, and the plain pages that say what went wrong.
//!
//! Each is complete without scripts, without a third party and without anything of the site behind.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::language::Language;
use super::texts::Texts;
use super::{Look, ascii, templates, texts};

static STYLE: LazyLock<String> = LazyLock::new(|| ascii::squeeze(include_str!("page.css"), ""));

static STYLESHEET_NAME: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(STYLE.as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("page.{hash}.css")
});

static MESSAGE_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'self'")
});

/// The style sheet of all pages.
pub fn stylesheet() -> &'static str {
    &STYLE
}

/// Its name below `assets/`; it changes with every change of the sheet.
pub fn stylesheet_name() -> &'static str {
    &STYLESHEET_NAME
}

/// The Content-Security-Policy of [`message`] pages.
pub fn message_policy() -> &'static str {
    &MESSAGE_POLICY
}

/// What a plain page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The request makes no sense.
    BadRequest,
    /// The request was sent by a page of another origin.
    ForeignOrigin,
    /// There is nothing at this address.
    NotFound,
    /// The address does not take this method.
    WrongMethod,
    /// The body is larger than may be.
    TooLarge,
    /// The ledger does not work: a choice could not be recorded.
    NotRecorded,
    /// The ledger does not work: an acceptance could not be recorded.
    NotAccepted,
    /// The accepted wording is not, or no longer, one of the document's.
    TextChanged,
    /// No site has the host of the request.
    UnknownSite,
    /// The upstream cannot be reached.
    Unreachable,
    /// The upstream takes too long.
    TooSlow,
    /// A form was posted into a gate, and cannot be kept: it was not sent on.
    FormHeld,
    /// A form that was kept has been sent on before.
    FormSent,
    /// A form that was kept was being sent on, and nobody knows how it ended.
    FormUnsure,
    /// The browser does not keep the cookie of an acceptance.
    NoCookies,
    /// The ledger does not work: a visitor's receipts could not be erased.
    NotErased,
}

impl Message {
    /// All of them.
    pub const ALL: [Message; 16] = [
        Message::BadRequest,
        Message::ForeignOrigin,
        Message::NotFound,
        Message::WrongMethod,
        Message::TooLarge,
        Message::NotRecorded,
        Message::NotAccepted,
        Message::TextChanged,
        Message::UnknownSite,
        Message::Unreachable,
        Message::TooSlow,
        Message::FormHeld,
        Message::FormSent,
        Message::FormUnsure,
        Message::NoCookies,
        Message::NotErased,
    ];

    /// How the names of its texts begin.
    fn key(self) -> &'static str {
        match self {
            Message::BadRequest => "bad_request",
            Message::ForeignOrigin => "foreign_origin",
            Message::NotFound => "not_found",
            Message::WrongMethod => "wrong_method",
            Message::TooLarge => "too_large",
            Message::NotRecorded => "not_recorded",
            Message::NotAccepted => "not_accepted",
            Message::TextChanged => "text_changed",
            Message::UnknownSite => "unknown_site",
            Message::Unreachable => "unreachable",
            Message::TooSlow => "too_slow",
            Message::FormHeld => "form_held",
            Message::FormSent => "form_sent",
            Message::FormUnsure => "form_unsure",
            Message::NoCookies => "no_cookies",
            Message::NotErased => "not_erased",
        }
    }
}

/// Where a plain page leads on to.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The address, on this site.
    pub href: &'a str,
    /// The name of its text.
    pub text: &'a str,
    /// Whether the page stays open beside it.
    pub opens: Opens,
}

/// Where the page behind a link opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// In place of this one.
    Here,
    /// Beside it: this one has something that must not be lost.
    NewTab,
}

/// A plain page: a heading, a sentence and perhaps a link. It needs no other request, so it works for unknown
/// sites (`look` is then none) and while nothing else does. Send it with [`message_policy`].
pub fn message(look: Option<&Look>, language: &Language, message: Message, link: Option<Link<'_>>) -> String {
    let texts = look.map_or_else(|| Texts::new(language, None), |look| look.texts(language));
    let key = message.key();
    templates::render(
        "message.html",
        &json!({
            "lang": texts.language(),
            "dir": texts.direction(),
            "controller": look.map_or("", |look| &*look.controller),
            "style": stylesheet(),
            "title": texts.get(&format!("{key}_title")),
            "text": texts.get(&format!("{key}_text")),
            "settings_link": look.map(|look| format!("{}settings", look.own_path)),
            "t": texts.all(),
            "link": link.map(|link| json!({
                "href": link.href,
                "text": texts.get(link.text),
                "opens_new_tab": link.opens == Opens::NewTab,
            })),
            "stylesheet": "",
            "indexed": false,
        }),
    )
}

/// What a plain page says, on one line of English for programs.
pub fn line(message: Message) -> String {
    let texts = Texts::new(texts::english(), None);
    let text = |part| texts.get(&format!("{}_{part}", message.key()));
    format!("{}. {}\n", text("title"), text("text"))
}

/// The problem of a plain page for programs (RFC 9457), as the body of `application/problem+json`.
pub fn problem(status: http::StatusCode, message: Message) -> String {
    let texts = Texts::new(texts::english(), None);
    json!({
        "status": status.as_u16(),
        "title": texts.get(&format!("{}_title", message.key())),
        "detail": texts.get(&format!("{}_text", message.key())),
    })
    .to_string()
}

/// What every page of a site begins with.
fn frame(look: &Look, texts: &Texts<'_>, asked: &Language, title: &str) -> Value {
    json!({
        "lang": texts.language(),
        "dir": texts.direction(),
        "asked": asked.as_str(),
        "t": texts.all(),
        "controller": look.controller,
        "own_path": look.own_path,
        "notice_path": look.notice_path,
        "stylesheet": format!("{}assets/{}", look.own_path, stylesheet_name()),
        "title": title,
    })
}

/// One object of several; a later one wins.
fn merged<const N: usize>(objects: [Value; N]) -> Value {
    let fields = objects.into_iter().filter_map(|object| match object {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}

/// The settings page. `values` is what its template takes beyond the frame: `made_at`, `valid_until`, `agreed`,
/// `signal`, `receipts`, and those of [`choices_form`].
pub(crate) fn settings(look: &Look, language: &Language, values: Value) -> String {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, texts.get("settings_title"));
    templates::render("settings.html", &merged([json!({ "indexed": false, "held": null }), values, frame]))
}

/// The form of the settings page alone; `values`: `return_to`, `categories`.
pub(crate) fn choices_form(look: &Look, language: &Language, values: Value) -> String {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, texts.get("settings_title"));
    templates::render("choices_form.html", &merged([values, frame]))
}

/// A document's page. `values`: `html`, `version`, `text_lang`, `text_dir`, `languages`, `about`, `present`,
/// `earlier`, `accepted`, `form`, `held`, `contact`, and `indexed: false` for what search engines should not keep.
pub(crate) fn document(look: &Look, language: &Language, title: &str, values: Value) -> String {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, title);
    templates::render("document.html", &merged([json!({ "indexed": true }), frame, values]))
}

/// A document to stand in a page of the site: its title and its text, ASCII both. `values` as for [`document`].
pub(crate) fn framed_document(
    look: &Look,
    language: &Language,
    title: &str,
    values: Value,
) -> (String, String) {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, title);
    let values = merged([json!({ "indexed": true }), frame, values]);
    let text = templates::render_blocks("document.html", &["main", "footer"], &values);
    let language = texts.language();
    let text =
        format!("<style>{FRAMED}</style><div class=\"consentry-document\" lang=\"{language}\">{text}</div>");
    let title = format!("{title} \u{2013} {}", look.controller);
    (ascii::text(&title).into_owned(), ascii::markup(&text))
}

/// What a document needs of a style inside the site's own page.
const FRAMED: &str = include_str!("framed.css");

/// A page that keeps a form which could not be sent on. `values`: `target`, `sealed`.
pub(crate) fn held(look: &Look, language: &Language, title: &str, values: Value) -> String {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, title);
    templates::render("held.html", &merged([json!({ "indexed": false }), values, frame]))
}

/// What somebody reads who has declined a document. `values`: `text`, `document`, `logout`, `home`, `contact`.
pub(crate) fn declined(look: &Look, language: &Language, values: Value) -> String {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, texts.get("declined_title"));
    templates::render("declined.html", &merged([json!({ "indexed": false }), values, frame]))
}

/// One receipt as a page. `values`: `at`, `what`, `until`, `number`, `shown`, `shown_lang`, `shown_dir`, `return_to`.
pub(crate) fn receipt(look: &Look, language: &Language, values: Value) -> String {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, texts.get("receipt_title"));
    templates::render("receipt.html", &merged([json!({ "indexed": false }), values, frame]))
}

/// What somebody reads who had their receipts erased. `values`: `count`, `return_to`.
pub(crate) fn erased(look: &Look, language: &Language, values: Value) -> String {
    let texts = look.texts(language);
    let frame = frame(look, &texts, language, texts.get("erased_title"));
    templates::render("erased.html", &merged([json!({ "indexed": false }), values, frame]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::*;

    #[test]
    fn every_plain_page_is_whole_in_every_language_without_another_request() {
        for tag in ["sv", "en", "ar"] {
            let language = Language::parse(tag).unwrap();
            for case in Message::ALL {
                for look in [None, Some(&look())] {
                    let link =
                        Link { href: "/a?\"><script>", text: "text_changed_link", opens: Opens::NewTab };
                    let page = message(look, &language, case, Some(link));
                    assert!(page.starts_with("<!doctype html>\n<html lang="), "{case:?}");
                    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("<link"));
                    assert!(page.contains(&format!("<style>{}</style>", stylesheet())));
                }
            }
        }
    }

    #[test]
    fn a_problem_is_json_with_its_status() {
        let problem = problem(http::StatusCode::SERVICE_UNAVAILABLE, Message::NotRecorded);
        let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
        assert_eq!(problem["status"], 503);
        assert_eq!(problem["title"], "Your choice could not be saved");
    }

    #[test]
    fn the_sheets_name_says_what_is_in_it() {
        assert!(stylesheet_name().starts_with("page.") && stylesheet_name().ends_with(".css"));
        assert!(message_policy().contains("style-src 'sha256-"));
        assert!(stylesheet().is_ascii() && !stylesheet().contains('<'));
    }
}
