//! The shop's pages: which template, which character set, and what is filled in.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::super::template;
use super::Customer;
use super::answer::{self, Charset};
use super::pictures::{self, PICTURES, Picture};

/// What several pages include.
const PIECES: [(&str, &str); 5] = [
    ("masthead", include_str!("../pages/piece-masthead.html")),
    ("footer", include_str!("../pages/piece-footer.html")),
    ("ga", include_str!("../pages/piece-ga.html")),
    ("gtm", include_str!("../pages/piece-gtm.html")),
    ("gtm-noscript", include_str!("../pages/piece-gtm-noscript.html")),
];

/// The first page: ga.js, Google Tag Manager and the Meta pixel, ISO-8859-1, gzip.
pub(super) fn start(customer: &Customer) -> Response<Full<Bytes>> {
    let page = build(include_str!("../pages/start.html"), customer, &[("range", &thumbnails(3))]);
    answer::compressed_page(Charset::Latin, &page, customer.takes_gzip)
}

/// All pictures: no doctype, no character set in the header, and ga.js the old, synchronous way.
pub(super) fn range(customer: &Customer) -> Response<Full<Bytes>> {
    let page =
        build(include_str!("../pages/sortiment.html"), customer, &[("range", &thumbnails(PICTURES.len()))]);
    answer::compressed_page(Charset::LatinUndeclared, &page, customer.takes_gzip)
}

/// One picture, with its stock fetched by a script.
pub(super) fn picture(customer: &Customer) -> Response<Full<Bytes>> {
    let Some(picture) = pictures::with_number(customer.query.value("id")) else { return missing(customer) };
    let page = build(
        include_str!("../pages/bild.html"),
        customer,
        &[
            ("number", &picture.number.to_string()),
            ("title", picture.title),
            ("price", &picture.price.to_string()),
            ("file", &picture.file()),
        ],
    );
    answer::page(Charset::Latin, &page)
}

/// About the shop: a newer page in UTF-8 with analytics.js, still without a doctype.
pub(super) fn about(customer: &Customer) -> Response<Full<Bytes>> {
    answer::page(Charset::Unicode, &build(include_str!("../pages/om.html"), customer, &[]))
}

/// The page for visitors from abroad.
pub(super) fn english(customer: &Customer) -> Response<Full<Bytes>> {
    answer::page(Charset::Latin, &build(include_str!("../pages/english.html"), customer, &[]))
}

/// The frameset.
pub(super) fn frames() -> Response<Full<Bytes>> {
    answer::page(Charset::Latin, include_str!("../pages/ram.html"))
}

/// The frame with the list of pictures.
pub(super) fn frame_menu() -> Response<Full<Bytes>> {
    let rows: String = PICTURES
        .iter()
        .map(|picture| {
            format!(
                "<tr><td><a href=\"/ram-bild.html?id={}\" target=\"bild\">{}</a></td></tr>\n",
                picture.number, picture.title
            )
        })
        .collect();
    answer::page(Charset::Latin, &template::fill(include_str!("../pages/ram-meny.html"), &[("rows", &rows)]))
}

/// The frame with one picture.
pub(super) fn frame_picture(customer: &Customer) -> Response<Full<Bytes>> {
    let picture = pictures::with_number(customer.query.value("id")).unwrap_or(&PICTURES[0]);
    let page = build(
        include_str!("../pages/ram-bild.html"),
        customer,
        &[("title", picture.title), ("file", &picture.file())],
    );
    answer::page(Charset::Latin, &page)
}

/// The cart.
pub(super) fn cart(customer: &Customer) -> Response<Full<Bytes>> {
    let chosen =
        customer.session.cart.iter().filter_map(|number| PICTURES.iter().find(|p| p.number == *number));
    let rows: String = chosen
        .clone()
        .map(|picture| {
            format!("<tr><td>{}</td><td align=\"right\">{} kr</td></tr>\n", picture.title, picture.price)
        })
        .collect();
    let sum: u32 = chosen.map(|picture| picture.price).sum();
    let page = build(
        include_str!("../pages/kundvagn.html"),
        customer,
        &[("rows", &rows), ("sum", &sum.to_string())],
    );
    answer::page(Charset::Latin, &page)
}

/// The login form, with what was wrong.
pub(super) fn login(customer: &Customer, problem: &str) -> Response<Full<Bytes>> {
    let page = build(include_str!("../pages/login.html"), customer, &[("problem", problem)]);
    answer::page(Charset::LatinUndeclared, &page)
}

/// What a customer sees of themselves.
pub(super) fn account(customer: &Customer, name: &str) -> Response<Full<Bytes>> {
    let page = build(include_str!("../pages/konto.html"), customer, &[("name", &template::escape(name))]);
    answer::page(Charset::Latin, &page)
}

/// The registration form.
pub(super) fn registration(customer: &Customer) -> Response<Full<Bytes>> {
    answer::page(Charset::Latin, &build(include_str!("../pages/register.html"), customer, &[]))
}

/// Thanks to a new customer.
pub(super) fn welcome(customer: &Customer) -> Response<Full<Bytes>> {
    let name = template::escape(customer.form.value("namn"));
    let page = build(include_str!("../pages/valkommen.html"), customer, &[("name", &name)]);
    answer::page(Charset::Latin, &page)
}

/// The page for those who run the shop.
pub(super) fn administration(customer: &Customer, name: &str) -> Response<Full<Bytes>> {
    if name != "admin" {
        return login(customer, "Logga in som admin för att administrera.");
    }
    answer::page(Charset::Latin, &build(include_str!("../pages/admin.html"), customer, &[]))
}

/// How many copies there are, for scripts.
pub(super) fn stock(customer: &Customer) -> Response<Full<Bytes>> {
    let number = pictures::with_number(customer.query.value("id")).map_or(0, |picture| picture.number);
    answer::file("application/json", format!("{{\"bild\":{number},\"antal\":{}}}", number * 7))
}

/// What is not there; counted by Google all the same.
pub(super) fn missing(customer: &Customer) -> Response<Full<Bytes>> {
    let path = template::escape(&customer.path);
    let page = build(include_str!("../pages/saknas.html"), customer, &[("path", &path)]);
    answer::not_found(answer::page(Charset::Latin, &page))
}

/// Fills in the pieces, then what the page itself asks for: a value can bring in no piece.
fn build(page: &str, customer: &Customer, values: &[(&str, &str)]) -> String {
    let who = customer.session.name.as_deref().map(template::escape);
    let state = match &who {
        Some(name) => format!("Inloggad som {name} &middot; <a href=\"/logout\">Logga ut</a>"),
        None => "<a href=\"/login\">Logga in</a> &middot; <a href=\"/register\">Bli kund</a>".into(),
    };
    let values = [values, &[("state", state.as_str())]].concat();
    template::fill(&template::fill(page, &PIECES), &values)
}

/// The first pictures as a table of 2003: three to a row, with an inline handler that calls the old tracker.
fn thumbnails(count: usize) -> String {
    PICTURES.chunks(3).take(count.div_ceil(3)).map(row).collect()
}

fn row(pictures: &[Picture]) -> String {
    let cells: String = pictures
        .iter()
        .map(|picture| {
            template::fill(
                include_str!("../pages/piece-thumbnail.html"),
                &[
                    ("number", &picture.number.to_string()),
                    ("title", picture.title),
                    ("price", &picture.price.to_string()),
                    ("file", &picture.file()),
                ],
            )
        })
        .collect();
    format!("<tr valign=\"top\">\n{cells}</tr>\n")
}
