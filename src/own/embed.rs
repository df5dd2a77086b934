//! `/_consent/embed`: a page around one embed that the visitor agreed to, for the frame that stands in its place. The
//! policy of the page around it was written before they did.

use http::{Response, StatusCode};
use url::Url;

use super::{Call, answer};
use crate::consent::once::{Extent, Name};
use crate::filter::Body;
use crate::filter::judge::{Judgement, judge};
use crate::web::page::Message;
use crate::web::{self, Look};

/// `GET /_consent/embed?service=…&address=…&title=…`
pub(super) fn show(call: &Call<'_>) -> Response<Body> {
    match agreed(call) {
        Some(address) => {
            let title = call.query.one("title").unwrap_or_default();
            let page = Look::embed_frame(&call.language, &address, title);
            answer::page(StatusCode::OK, web::embed_frame_policy(), page)
        }
        // Nobody is led to an address by a link to this one.
        None => call.message(StatusCode::NOT_FOUND, Message::NotFound),
    }
}

/// The address, if it belongs to the service and the visitor agreed to either.
fn agreed(call: &Call<'_>) -> Option<Url> {
    let services = &call.site.filter.services;
    let service = services.find(call.query.one("service")?)?;
    let address: Url = call.query.one("address")?.parse().ok()?;
    let is_web = matches!(address.scheme(), "http" | "https");
    let is_theirs = services.identify_url(&address).is_some_and(|owner| owner.id == service.id);
    let embed = Extent::Embed(Name::of_embed(&service.id, address.as_str()));
    let grants = call.visit.once.iter().flat_map(|once| &once.grants);
    let was_loaded = { grants }.any(|grant| grant.service == service.id && grant.extent == embed);
    let may_act = judge(services, service, &call.visit.granted) == Judgement::Allow;
    (is_web && is_theirs && (was_loaded || may_act)).then_some(address)
}
