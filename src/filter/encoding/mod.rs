//! Content codings (RFC 9110 section 8.4.1): which ones we know, what is asked of the upstream, what it used.

mod decode;
mod encode;
mod gzip;
mod kept;
mod zstd;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};

pub use decode::{Decoder, Failure, Step};
pub use encode::Encoder;

/// A content coding that can be decoded and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// No coding.
    Identity,
    /// RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950; many servers send a bare RFC 1951 stream under this name.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with the window that RFC 9659 allows.
    Zstd,
}

impl Coding {
    /// The codings that shrink a body, the one we write best first.
    const COMPRESSING: [Coding; 4] = [Coding::Brotli, Coding::Zstd, Coding::Gzip, Coding::Deflate];

    /// The word of the headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// The letter that stands for it in an entity tag.
    pub fn letter(self) -> char {
        match self {
            Coding::Identity => 'i',
            Coding::Gzip => 'g',
            Coding::Deflate => 'd',
            Coding::Brotli => 'b',
            Coding::Zstd => 'z',
        }
    }

    /// The coding of a letter.
    pub fn from_letter(letter: char) -> Option<Self> {
        [Coding::Identity].into_iter().chain(Coding::COMPRESSING).find(|coding| coding.letter() == letter)
    }

    fn parse(word: &str) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        match word {
            _ if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
            _ if is("deflate") => Some(Coding::Deflate),
            _ if is("br") => Some(Coding::Brotli),
            _ if is("zstd") => Some(Coding::Zstd),
            _ if is("identity") => Some(Coding::Identity),
            _ => None,
        }
    }
}

/// What a body is coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coded {
    /// With this, or not at all.
    Once(Coding),
    /// With something we do not know, or with several codings on top of each other.
    Opaque,
}

/// What the body of an answer is coded with, by its `Content-Encoding`.
pub fn coded(headers: &HeaderMap) -> Coded {
    let mut found = Coding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        let Ok(value) = value.to_str() else { return Coded::Opaque };
        for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match Coding::parse(word) {
                Some(Coding::Identity) => {}
                Some(coding) if found == Coding::Identity => found = coding,
                Some(_) | None => return Coded::Opaque,
            }
        }
    }
    Coded::Once(found)
}

/// One item of an `Accept-Encoding` header.
struct Wish<'a> {
    word: &'a str,
    /// `;q=0.5`, as the client wrote it.
    weight: Option<&'a str>,
}

impl Wish<'_> {
    fn refuses(&self) -> bool {
        let q = self.weight.and_then(|weight| weight.split_once('=')).map(|(_, q)| q.trim());
        q.and_then(|q| q.parse::<f32>().ok()) == Some(0.0)
    }
}

fn wishes(header: &str) -> impl Iterator<Item = Wish<'_>> {
    header.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| {
        let (word, weight) = item.split_once(';').map_or((item, None), |(word, q)| (word, Some(q)));
        Wish { word: word.trim(), weight: weight.map(str::trim) }
    })
}

/// What the client says of the codings that it takes, in one line.
pub fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(ACCEPT_ENCODING).into_iter();
    let first = lines.next()?;
    let joined =
        lines.fold(first.as_bytes().to_vec(), |joined, line| [&joined, line.as_bytes()].join(&b", "[..]));
    HeaderValue::from_bytes(&joined).ok()
}

/// What is asked of the upstream: what the client takes and we know (RFC 9110 section 12.5.3).
///
/// A `*` becomes the codings that it stands for, as far as we know them; where nothing is left, no coding is.
pub fn reduced(accept: &HeaderValue) -> HeaderValue {
    let Ok(header) = accept.to_str() else { return HeaderValue::from_static("identity") };
    let asked = |coding: Coding| wishes(header).any(|wish| Coding::parse(wish.word) == Some(coding));
    let mut kept = Vec::new();
    for wish in wishes(header) {
        let weight = wish.weight.map(|weight| format!(";{weight}")).unwrap_or_default();
        if wish.word == "*" && !wish.refuses() {
            let implied = Coding::COMPRESSING.into_iter().filter(|coding| !asked(*coding));
            kept.extend(implied.map(|coding| format!("{}{weight}", coding.as_str())));
        } else if wish.word == "*" || Coding::parse(wish.word).is_some() {
            kept.push(format!("{}{weight}", wish.word));
        }
    }
    let kept = if kept.is_empty() { Coding::Identity.as_str().to_owned() } else { kept.join(", ") };
    HeaderValue::from_str(&kept).unwrap_or_else(|_| HeaderValue::from_static("identity"))
}

/// The coding that an answer is written in: the one the upstream chose out of what it was asked for, or none
/// where the client does not take that.
pub fn agreed(used: Coding, accept: Option<&HeaderValue>) -> Coding {
    let header = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut by_star = false;
    for wish in wishes(header) {
        if Coding::parse(wish.word) == Some(used) {
            return if wish.refuses() { Coding::Identity } else { used };
        }
        by_star |= wish.word == "*" && !wish.refuses();
    }
    if by_star { used } else { Coding::Identity }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).unwrap()
    }

    #[test]
    fn the_upstream_is_asked_for_what_both_sides_know() {
        for (client, upstream) in [
            ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
            ("gzip;q=0.5, dcb, br;q=1.0", "gzip;q=0.5, br;q=1.0"),
            ("dcb, dcz", "identity"),
            ("compress", "identity"),
            ("x-gzip", "x-gzip"),
            ("*", "br, zstd, gzip, deflate"),
            ("gzip, *;q=0.1", "gzip, br;q=0.1, zstd;q=0.1, deflate;q=0.1"),
            ("gzip, *;q=0", "gzip, *;q=0"),
            ("identity;q=0, gzip", "identity;q=0, gzip"),
            ("", "identity"),
        ] {
            assert_eq!(reduced(&value(client)), value(upstream), "{client}");
            assert_eq!(reduced(&value(upstream)), value(upstream), "twice: {client}");
        }
    }

    #[test]
    fn an_answer_is_coded_as_the_client_takes_it() {
        use Coding::{Brotli, Gzip, Identity};
        for (used, client, expected) in [
            (Gzip, Some("gzip, br"), Gzip),
            (Gzip, Some("br"), Identity),
            (Gzip, Some("gzip;q=0, *"), Identity),
            (Brotli, Some("*"), Brotli),
            (Brotli, Some("*;q=0"), Identity),
            (Gzip, None, Identity),
            (Identity, Some("gzip"), Identity),
        ] {
            assert_eq!(agreed(used, client.map(value).as_ref()), expected, "{used:?} {client:?}");
        }
    }

    #[test]
    fn unknown_and_stacked_codings_are_opaque() {
        for (lines, expected) in [
            (&[][..], Coded::Once(Coding::Identity)),
            (&["GZIP"], Coded::Once(Coding::Gzip)),
            (&["identity, br"], Coded::Once(Coding::Brotli)),
            (&[""], Coded::Once(Coding::Identity)),
            (&["gzip, gzip"], Coded::Opaque),
            (&["br", "gzip"], Coded::Opaque),
            (&["compress"], Coded::Opaque),
            (&["dcb"], Coded::Opaque),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, value(line));
            }
            assert_eq!(coded(&headers), expected, "{lines:?}");
        }
    }
}
