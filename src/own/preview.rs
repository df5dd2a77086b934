//! Every state of banner and pages in every language, without an upstream and without a visitor: what the command
//! `preview` shows. What is shown is made by the same code that makes it for visitors; only its forms lead nowhere.

use bytes::Bytes;
use serde_json::json;

use super::settings;
use crate::consent::signal::Signal;
use crate::consent::{Categories, Category, Granted};
use crate::site::Site;
use crate::web::language::Language;
use crate::web::page::{self, Message};
use crate::web::{self, Place, Shows, preview};

/// What a page of the preview may do: show itself.
pub const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'";

/// An answer of the preview: its media type, and what is in it.
pub type Answer = (&'static str, Bytes);

/// One thing that visitors meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Banner(Layer, Signal),
    Link,
    Settings(Option<Categories>),
    Message(Message),
}

/// How far the banner is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    First,
    Second,
}

/// Every state, by the name that its address has.
fn states() -> impl Iterator<Item = (String, State)> {
    let shown = [
        ("banner", State::Banner(Layer::First, Signal::Absent)),
        ("banner-opened", State::Banner(Layer::Second, Signal::Absent)),
        ("banner-under-a-signal", State::Banner(Layer::First, Signal::OptOut)),
        ("link", State::Link),
        ("settings-undecided", State::Settings(None)),
        ("settings-refused", State::Settings(Some(Categories::NONE))),
        ("settings-agreed", State::Settings(Some(Categories::ALL))),
    ];
    let messages = Message::ALL
        .iter()
        .map(|message| (format!("message-{message:?}").to_ascii_lowercase(), State::Message(*message)));
    shown.into_iter().map(|(name, state)| (name.to_owned(), state)).chain(messages)
}

/// What the preview of a site answers at an address; nothing where there is nothing.
pub fn answer(site: &Site, path: &str, query: &str) -> Option<Answer> {
    let look = &site.filter.look;
    let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "lang");
    let language = asked
        .and_then(|(_, tag)| look.languages.iter().find(|language| language.as_str() == tag))
        .or(look.languages.first())?;
    if path == "/" {
        let names: Vec<String> = states().map(|(name, _)| name).collect();
        return Some(html(preview::index(look, &site.name, language, &names)));
    }
    if let Some(name) = path.strip_prefix("/state/") {
        let (_, state) = states().find(|(known, _)| known == name)?;
        return Some(html(show(site, language, state)));
    }
    let asset = path.strip_prefix(&*site.own_path)?.strip_prefix("assets/")?;
    match &look.theme.logo {
        _ if asset == page::stylesheet_name() => {
            Some(("text/css; charset=utf-8", Bytes::from_static(page::stylesheet().as_bytes())))
        }
        Some(logo) if *logo.name == *asset => Some((logo.media_type, Bytes::copy_from_slice(&logo.bytes))),
        _ => None,
    }
}

fn html(page: String) -> Answer {
    ("text/html; charset=utf-8", page.into())
}

fn show(site: &Site, language: &Language, state: State) -> String {
    let look = &site.filter.look;
    match state {
        State::Banner(layer, signal) => {
            let banner = site.filter.banner(language, signal, Place::default());
            let banner = match layer {
                Layer::First => banner,
                Layer::Second => banner.replace("<details", "<details open"),
            };
            preview::behind(language, &banner)
        }
        State::Link => preview::behind(language, &look.settings_link(language, Shows::Now, Place::default())),
        State::Settings(choices) => settings_page(site, language, choices),
        State::Message(message) => page::message(Some(look), language, message, None),
    }
}

fn settings_page(site: &Site, language: &Language, choices: Option<Categories>) -> String {
    let look: &web::Look = &site.filter.look;
    let texts = look.texts(language);
    // A day that every reader knows for an example.
    let day = crate::clock::Timestamp::UNIX_EPOCH;
    let agreed: Vec<&str> = Category::OPTIONAL
        .into_iter()
        .filter(|category| choices.is_some_and(|choices| choices.covers(*category)))
        .map(|category| texts.get(category.as_str()))
        .collect();
    let granted = Granted::new(choices.unwrap_or(Categories::NONE), Default::default());
    let values = json!({
        "made_at": choices.map(|_| texts.moment(day)),
        "valid_until": texts.date(day),
        "agreed": agreed,
        "signal": false,
        "receipts": [],
        "return_to": "/",
        "languages": [],
        "categories": settings::categories(site, &texts, &granted),
    });
    page::settings(look, language, values)
}

#[cfg(test)]
mod tests {
    use super::super::tests::site;
    use super::*;

    #[test]
    fn every_state_is_shown_in_every_language_and_the_index_leads_to_all_of_them() {
        let site = site();
        for language in &site.filter.look.languages {
            let query = format!("lang={language}");
            let (_, index) = answer(&site, "/", &query).unwrap();
            let index = String::from_utf8(index.to_vec()).unwrap();
            for (name, _) in states() {
                assert!(index.contains(&format!("/state/{name}?lang={language}")), "{name}");
                let (media_type, page) = answer(&site, &format!("/state/{name}"), &query).unwrap();
                let page = String::from_utf8(page.to_vec()).unwrap();
                assert!(media_type.starts_with("text/html") && page.contains("<!doctype html>"), "{name}");
            }
        }
        let (_, banner) = answer(&site, "/state/banner-opened", "lang=sv").unwrap();
        assert!(String::from_utf8_lossy(&banner).contains("<details open"));
    }

    #[test]
    fn what_is_not_there_is_not_shown() {
        for path in ["/x", "/state/x", "/_consent/assets/x.css", "/_consent/settings"] {
            assert!(answer(&site(), path, "").is_none(), "{path}");
        }
        assert!(answer(&site(), &format!("/_consent/assets/{}", page::stylesheet_name()), "").is_some());
    }
}
