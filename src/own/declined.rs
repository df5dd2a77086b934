//! What somebody reads who has declined a document: what still works, how to log out, and whom to ask.

use http::{Response, StatusCode};
use serde_json::json;

use super::{Call, answer, documents};
use crate::filter::Body;
use crate::gate;
use crate::visit::path::CanonicalPath;
use crate::web::page::{self, Message};

/// `GET /_consent/declined`
pub(super) fn show(call: &Call<'_>) -> Response<Body> {
    let document = call.query.one("document").and_then(|id| call.site.documents.find(id));
    let text = document
        .and_then(|document| Some((document, document.text(Some(&call.language), &call.visit.wishes)?)));
    let Some((document, text)) = text else { return call.message(StatusCode::NOT_FOUND, Message::NotFound) };
    let return_to = call.return_to(call.query.one("return"));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("lang", call.language.as_str())
        .append_pair("return", &return_to)
        .finish();
    let texts = call.look().texts(&call.language);
    let mut gates = call.site.gate.gates.iter().filter(|gate| gate.document == document.id);
    let page = page::declined(
        call.look(),
        &call.language,
        json!({
            "text": texts.fill("declined_text", &[("title", &text.title)]),
            "document": format!("{}?{query}", document.path),
            "logout": gates.find_map(|gate| gate.logout.as_deref()),
            "home": is_open(call, "/"),
            "contact": documents::contact(call.site),
        }),
    );
    answer::page(StatusCode::OK, documents::POLICY, page)
}

/// Whether this visitor may go to a page as they are.
fn is_open(call: &Call<'_>, path: &str) -> bool {
    let mut visit = call.visit.clone();
    visit.path = CanonicalPath::of(path);
    gate::closed(&call.site.gate, &visit).is_none()
}
