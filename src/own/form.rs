//! The forms that are posted to us: urlencoded, and small.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use url::form_urlencoded;

use crate::filter::Body;

/// The largest form that is read, in bytes.
const LIMIT: usize = 64 << 10;

/// The fields of a form, in the order in which they were sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form(Vec<(Box<str>, Box<str>)>);

/// Why a form was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is larger than [`LIMIT`].
    TooLarge,
    /// It is no urlencoded form, or broke off.
    NotAForm,
}

impl Form {
    /// Reads a request's body.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Unreadable> {
        if !is_urlencoded(headers) {
            return Err(Unreadable::NotAForm);
        }
        let mut body = body;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(Unreadable::NotAForm) };
            bytes.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
            if bytes.len() > LIMIT {
                return Err(Unreadable::TooLarge);
            }
        }
        Ok(Form::parse(&bytes))
    }

    /// Reads the fields of a body, or of a query.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        Form(pairs.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// These fields.
    pub(super) fn of(fields: Vec<(Box<str>, Box<str>)>) -> Self {
        Form(fields)
    }

    /// The first value of a field.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| &**field == name).map(|(_, value)| &**value)
    }

    /// Every value of a field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| &**field == name).map(|(_, value)| &**value)
    }
}

fn is_urlencoded(headers: &HeaderMap) -> bool {
    let written = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = written.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::body;

    async fn read(content_type: &'static str, bytes: Vec<u8>) -> Result<Form, Unreadable> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Form::read(&headers, body::full(bytes)).await
    }

    #[tokio::test]
    async fn a_posted_form_is_read_into_its_fields() {
        let written = "Application/X-WWW-form-urlencoded; charset=UTF-8";
        let form = read(written, b"a=1&b=x+y%C3%A5&a=2&c".to_vec()).await.unwrap();
        assert_eq!((form.one("a"), form.one("b"), form.one("d")), (Some("1"), Some("x yå"), None));
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_form_is_refused() {
        let urlencoded = "application/x-www-form-urlencoded";
        assert!(read(urlencoded, vec![b'a'; LIMIT]).await.is_ok());
        assert_eq!(read(urlencoded, vec![b'a'; LIMIT + 1]).await, Err(Unreadable::TooLarge));
        assert_eq!(read("application/json", b"{}".to_vec()).await, Err(Unreadable::NotAForm));
        assert_eq!(read("text/plain", b"a=1".to_vec()).await, Err(Unreadable::NotAForm));
    }
}
