//! `/_consent/settings`: the choices as a page of its own, and this visitor's receipts.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Call, answer, choices, receipt, receipts};
use crate::consent::{Category, Granted};
use crate::filter::Body;
use crate::services::catalogue_text;
use crate::site::Site;
use crate::web::language::Language;
use crate::web::page;
use crate::web::texts::Texts;

/// Without `form-action`, for the reason that documents give.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /_consent/settings`, and one receipt with `?receipt=ID`
pub(super) async fn show(call: &Call<'_>) -> Response<Body> {
    match call.query.one("receipt") {
        Some(id) => receipts::download(call, id).await,
        None => settings(call).await,
    }
}

async fn settings(call: &Call<'_>) -> Response<Body> {
    let texts = call.look().texts(&call.language);
    let visit = call.visit;
    let return_to = call.return_to(call.query.one("return"));
    let values = json!({
        "made_at": visit.choices.as_ref().map(|choices| texts.moment(choices.made_at)),
        "valid_until": choices::until(call).map(|at| texts.date(at)).unwrap_or_default(),
        "agreed": agreed(call, &texts),
        "signal": visit.signal.name(),
        "receipts": receipts(call, &texts).await,
        "return_to": &*return_to,
        "languages": languages(call, &return_to),
        "categories": categories(call.site, &texts, &visit.granted),
    });
    answer::page(StatusCode::OK, POLICY, page::settings(call.look(), &call.language, values))
}

/// The form as it was shown, without what is one visitor's: what the ledger keeps of it.
pub(super) fn blank_form(site: &Site, language: &Language) -> String {
    let look = &site.filter.look;
    let categories = categories(site, &look.texts(language), &Granted::default());
    page::choices_form(look, language, json!({ "return_to": "", "categories": categories }))
}

/// The optional categories, each with the services of the site that agreeing to it lets act.
pub(super) fn categories(site: &Site, texts: &Texts<'_>, granted: &Granted) -> Vec<Value> {
    let seen = site.filter.observed.snapshot();
    let optional = site.filter.services.optional(seen.services().map(|service| service.name));
    let of = |category: Category| {
        let optional = optional.iter().filter(move |service| service.category == category);
        optional.map(move |service| {
            let (purpose, lang) = catalogue_text(&service.purpose, texts.language());
            json!({
                "id": service.id,
                "name": service.name,
                "provider": texts.provider(service, &site.controller.name),
                "country": texts.country(&service.country),
                "purpose": purpose.trim_end_matches('.'),
                "lang": lang.map(|lang| format!(" lang=\"{lang}\" dir=\"ltr\"")).unwrap_or_default(),
                "cookies": texts.cookies(service),
                // A ticked service beside its ticked category would promise that it can be taken out alone.
                "is_agreed": !granted.categories().covers(category) && granted.covers(&service.id, category),
            })
        })
    };
    let entry = |category: Category| {
        json!({
            "id": category.as_str(),
            "name": texts.get(category.as_str()),
            "purpose": texts.get(&format!("{category}_purpose")),
            "is_agreed": granted.categories().covers(category),
            "services": of(category).collect::<Vec<_>>(),
        })
    };
    Category::OPTIONAL.into_iter().map(entry).collect()
}

/// The site's languages, each with the address of this page in it. A choice of language is carried in the address: to
/// remember it would take a cookie that nobody needs.
fn languages(call: &Call<'_>, return_to: &str) -> Vec<Value> {
    let entry = |language: &Language| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("lang", language.as_str())
            .append_pair("return", return_to)
            .finish();
        json!({
            "tag": language.as_str(),
            "name": super::documents::endonym(language.as_str()),
            "href": format!("?{query}"),
            "is_present": *language == call.language,
        })
    };
    call.look().languages.iter().map(entry).collect()
}

/// The names of what may act now: categories, and single services.
fn agreed(call: &Call<'_>, texts: &Texts<'_>) -> Vec<String> {
    let granted = &call.visit.granted;
    let categories = granted.categories().iter().map(|category| texts.get(category.as_str()).to_owned());
    let services = granted.services().map(|id| {
        call.site.filter.services.find(id).map_or_else(|| id.to_owned(), |service| service.name.to_string())
    });
    categories.chain(services).collect()
}

/// This visitor's receipts; none while the ledger does not work.
async fn receipts(call: &Call<'_>, texts: &Texts<'_>) -> Option<Vec<Value>> {
    let Some(subject) = call.visit.subject else { return Some(Vec::new()) };
    match call.own.ledger.receipts(&call.site.name, subject).await {
        Ok(entries) => Some(
            entries
                .iter()
                .map(|entry| {
                    json!({
                        "id": entry.id(),
                        "at": texts.moment(entry.at()),
                        "what": receipt::sentence(entry, call.site, texts, &call.language),
                    })
                })
                .collect(),
        ),
        Err(failure) => {
            tracing::error!(
                site = &*call.site.name,
                error = &failure as &dyn std::error::Error,
                "receipts could not be read"
            );
            None
        }
    }
}
