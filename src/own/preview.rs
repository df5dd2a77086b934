//! Every state of banner, placeholders and pages in every language, without an upstream: what the command `preview`
//! shows. What is shown is made by the same code that makes it for visitors; only its forms lead nowhere.

mod reader;

use bytes::Bytes;
use serde_json::json;

use super::Own;
use crate::consent::signal::Signal;
use crate::documents::Document;
use crate::filter::Banner;
use crate::services::{EmbedKind, Rule, Service, Set};
use crate::site::Site;
use crate::web::language::Language;
use crate::web::page::{self, Link, Message, Opens};
use crate::web::{Embed, Note, Offer, Place, Shows, preview};
use reader::Reader;

/// What a page of the preview may do: show itself.
pub const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'";

/// An answer of the preview: its media type, and what is in it.
pub type Answer = (&'static str, Bytes);

/// One thing that visitors meet.
#[derive(Clone, Copy, Debug)]
enum State<'a> {
    Banner(Layer, Signal),
    Link,
    Note(&'a Document),
    Placeholders,
    Settings(Before, Signal),
    Receipt,
    Erased,
    Document(&'a Document, Reading),
    Undelivered,
    Message(Message),
}

/// How far the banner is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    First,
    Second,
}

/// What a visitor chose before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Refused,
    Agreed,
}

/// How a document is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    First,
    AfterSayingYes,
    AfterSayingNo,
    WithAForm,
    Earlier,
}

/// Every state of a site, by the name that its address has.
fn states(site: &Site) -> Vec<(String, State<'_>)> {
    let fixed = [
        ("banner", State::Banner(Layer::First, Signal::Absent)),
        ("banner-opened", State::Banner(Layer::Second, Signal::Absent)),
        ("banner-under-a-signal", State::Banner(Layer::First, Signal::GlobalPrivacyControl)),
        ("link", State::Link),
        ("placeholders", State::Placeholders),
        ("settings-undecided", State::Settings(Before::Nothing, Signal::Absent)),
        ("settings-refused", State::Settings(Before::Refused, Signal::Absent)),
        ("settings-agreed", State::Settings(Before::Agreed, Signal::Absent)),
        ("settings-under-a-signal", State::Settings(Before::Nothing, Signal::GlobalPrivacyControl)),
        ("receipt", State::Receipt),
        ("receipts-erased", State::Erased),
        ("form-not-delivered", State::Undelivered),
    ];
    let messages = Message::ALL
        .iter()
        .map(|message| (format!("message-{message:?}").to_ascii_lowercase(), State::Message(*message)));
    let fixed = fixed.into_iter().map(|(name, state)| (name.to_owned(), state));
    let published = site.documents.documents.iter().filter(|document| !document.texts.is_empty());
    fixed.chain(published.flat_map(|document| of_document(site, document))).chain(messages).collect()
}

/// The ways in which visitors meet a document: with a form where a gate asks for it.
fn of_document<'a>(site: &'a Site, document: &'a Document) -> Vec<(String, State<'a>)> {
    let is_gated = site.gate.gates.iter().any(|gate| gate.document == document.id);
    let ways = [
        ("", Reading::First, true),
        ("-after-yes", Reading::AfterSayingYes, is_gated),
        ("-after-no", Reading::AfterSayingNo, is_gated),
        ("-with-a-form", Reading::WithAForm, is_gated),
        ("-earlier", Reading::Earlier, !document.earlier.is_empty()),
    ];
    let state =
        |(end, reading, _)| (format!("document-{}{end}", document.id), State::Document(document, reading));
    let announced = is_gated.then(|| (format!("note-{}", document.id), State::Note(document)));
    ways.into_iter().filter(|(_, _, is_there)| *is_there).map(state).chain(announced).collect()
}

/// What the preview of a site answers at an address; nothing where there is nothing. What its visitors decide is
/// recorded in the ledger of `own`, so that is one of the preview's own.
pub async fn answer(own: &Own, site: &Site, path: &str, query: &str) -> Option<Answer> {
    let look = &site.filter.look;
    let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "lang");
    let language = asked
        .and_then(|(_, tag)| look.languages.iter().find(|language| language.as_str() == tag))
        .or(look.languages.first())?;
    if path == "/" {
        let names: Vec<String> = states(site).into_iter().map(|(name, _)| name).collect();
        let hint = hint(site.filter.banner);
        return Some(html(preview::index(look, &site.name, language, &names, hint)));
    }
    if let Some(name) = path.strip_prefix("/state/") {
        let (_, state) = states(site).into_iter().find(|(known, _)| known == name)?;
        return show(own, site, language, state).await.map(html);
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

/// What of all that is shown visitors do not see as things stand.
fn hint(banner: Banner) -> &'static str {
    match banner {
        Banner::Shown => "",
        Banner::Off => {
            "The site shows no banner (banner.enabled: false): its visitors meet the link and the settings."
        }
        Banner::NothingToAsk => {
            "The privacy information is not filled in: until it is, visitors see no banner and are asked for nothing."
        }
    }
}

fn html(page: String) -> Answer {
    ("text/html; charset=utf-8", page.into())
}

async fn show(own: &Own, site: &Site, language: &Language, state: State<'_>) -> Option<String> {
    let look = &site.filter.look;
    let mut reader = Reader::new(own, site, language, Signal::Absent);
    Some(match state {
        State::Banner(layer, signal) => {
            let banner = site.filter.banner(language, signal, Place::default()).to_string();
            let banner = match layer {
                Layer::First => banner,
                Layer::Second => banner.replace("<details", "<details open"),
            };
            preview::behind(language, &banner)
        }
        State::Link => {
            preview::behind(language, &look.settings_link(language, Shows::Now, Place::default()).to_string())
        }
        State::Note(document) => {
            let note = look.note(language, &announced(own, document), Place::default());
            preview::behind(language, &note)
        }
        State::Placeholders => preview::behind(language, &placeholders(site, language)),
        State::Settings(before, signal) => {
            reader.signal = signal;
            match before {
                Before::Nothing => {}
                Before::Refused => _ = reader.choose("reject-all").await?,
                Before::Agreed => _ = reader.choose("accept-all").await?,
            }
            reader.read(&format!("{}settings", site.own_path), "&return=/").await?
        }
        State::Receipt => {
            let receipt = reader.choose("accept-all").await?;
            reader.read(&format!("{}receipts", site.own_path), &format!("&id={receipt}")).await?
        }
        State::Erased => {
            reader.choose("accept-all").await?;
            reader.erase().await?
        }
        State::Document(document, reading) => read(&mut reader, document, reading).await?,
        State::Undelivered => {
            let texts = look.texts(language);
            let values = json!({ "target": "/", "sealed": "" });
            page::held(look, language, texts.get("held_undelivered_title"), values)
        }
        State::Message(message) => page::message(Some(look), language, message, link(message)),
    })
}

async fn read(reader: &mut Reader<'_>, document: &Document, reading: Reading) -> Option<String> {
    let path = document.path.as_str();
    match reading {
        Reading::First => reader.read(path, "&return=/").await,
        Reading::AfterSayingYes => {
            reader.decide(document, "accept").await?;
            reader.read(path, "&return=/").await
        }
        Reading::AfterSayingNo => {
            let target = reader.decide(document, "decline").await?;
            let (path, query) = target.split_once('?')?;
            reader.read(path, &format!("&{query}")).await
        }
        Reading::WithAForm => reader.post_into_gate(document).await,
        Reading::Earlier => {
            let version = &document.earlier.first()?.version;
            let query =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("version", version).finish();
            reader.read(path, &format!("&{query}")).await
        }
    }
}

/// The note of a version that is asked for from tomorrow on.
fn announced(own: &Own, document: &Document) -> Note {
    let now = own.clock.now();
    let titles = document.texts.iter().map(|text| (text.language.clone(), text.title.clone()));
    Note {
        document: document.id.clone(),
        path: document.path.as_str().into(),
        from: now.checked_add(std::time::Duration::from_secs(86_400)).unwrap_or(now),
        titles: titles.collect(),
    }
}

/// A placeholder of each kind in a usual size, one that is small, and one that nobody may agree to.
fn placeholders(site: &Site, language: &Language) -> String {
    const KINDS: [EmbedKind; 8] = [
        EmbedKind::Video,
        EmbedKind::Map,
        EmbedKind::Post,
        EmbedKind::Audio,
        EmbedKind::Comments,
        EmbedKind::Chat,
        EmbedKind::Form,
        EmbedKind::Other,
    ];
    const LARGE: &str = " style=\"width:560px;height:315px;margin:8px;max-width:calc(100% - 16px)\"";
    const SMALL: &str = " style=\"width:200px;height:150px;margin:8px\"";
    let form = Offer::Form { origin: "", page: "", embed: Some(""), return_to: "/" };
    let of = |kind| of_kind(&site.filter.services, kind);
    let usual = KINDS.into_iter().filter_map(of).map(|service| (service, LARGE, form));
    let video = of(EmbedKind::Video).into_iter();
    let special = video.flat_map(|service| [(service, SMALL, form), (service, LARGE, Offer::None)]);
    let placeholder = |(service, attributes, offer)| {
        let embed = Embed { attributes, title: "", link: Some("/"), element: "", script: None, offer };
        site.filter.look.embed(service, language, embed)
    };
    usual.chain(special).map(placeholder).collect()
}

/// A service that shows something of this kind: one that the site names, if there is any.
fn of_kind(services: &Set, kind: EmbedKind) -> Option<&Service> {
    let is_meant = |service: &&Service| {
        service.embed.as_ref().is_some_and(|embed| embed.kind == kind)
            && services.rule(service) != Rule::STRIP
    };
    services.named().find(is_meant).or_else(|| services.iter().find(is_meant))
}

/// Where a plain page leads on to, where it does.
fn link(message: Message) -> Option<Link<'static>> {
    let (text, opens) = match message {
        Message::TextChanged => ("text_changed_link", Opens::Here),
        Message::FormHeld => ("form_held_link", Opens::NewTab),
        Message::FormSent | Message::FormUnsure => ("form_sent_link", Opens::Here),
        Message::NoCookies => ("no_cookies_link", Opens::Here),
        _ => return None,
    };
    Some(Link { href: "/", text, opens })
}

#[cfg(test)]
mod tests;
