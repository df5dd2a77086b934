//! The other headers of an answer: addresses of the upstream, ways around the proxy, hints that would connect to
//! what may not act, and what is no longer true of a rewritten body.

use http::header::{
    ALT_SVC, CONTENT_ENCODING, CONTENT_LOCATION, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, REFRESH,
    SET_COOKIE,
};

use super::encoding::Coding;

/// Where the upstream lives, and where visitors meet it.
#[derive(Clone, Copy, Debug)]
pub struct Origins<'a> {
    /// The upstream's own origins, such as `http://127.0.0.1:3000`.
    pub upstream: &'a [Box<str>],
    /// `http` or `https`: how the visitor came.
    pub scheme: &'a str,
    /// The host, with its port, that the visitor named.
    pub authority: &'a str,
}

/// What a `Link:` header makes a browser do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It looks up or connects to a host, which no policy stops: `preconnect`, `dns-prefetch`.
    Connect,
    /// It loads an address in advance, which no policy of the page is sure to stop: `preload`, `prefetch` and the like.
    Advance,
    /// It loads an address as a part of the page: `stylesheet` and the like.
    Load,
}

/// Filters the headers of any answer. `may` says whether a hint may be followed.
pub fn filter(headers: &mut HeaderMap, origins: Origins<'_>, may: impl Fn(Hint, &str) -> bool) {
    // It names a way to the upstream that leads around the proxy (RFC 7838).
    headers.remove(ALT_SVC);
    map(headers, origins);
    filter_links(headers, origins, may);
}

/// Makes where an answer leads, and for whom it sets cookies, the site's where it names the upstream: what any proxy owes,
/// whatever the site's mode.
pub fn map(headers: &mut HeaderMap, origins: Origins<'_>) {
    for name in [LOCATION, CONTENT_LOCATION] {
        change(headers, &name, |value| origins.mapped(value));
    }
    change(headers, &REFRESH, |value| refresh(value, origins));
    map_cookie_domains(headers, origins);
}

/// Takes out the headers whose names, in lower case, are condemned: one look at those there are, in place of one for each
/// that might be.
pub fn remove_where(headers: &mut HeaderMap, is_condemned: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_condemned(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Takes out what is not true of a rewritten body, and names its coding.
pub fn rewritten(headers: &mut HeaderMap, coding: Coding) {
    remove_where(headers, |name| {
        matches!(
            name,
            "content-length"
                | "content-md5"
                | "digest"
                | "repr-digest"
                | "content-digest"
                | "accept-ranges"
                | "trailer"
                | "content-encoding"
        )
    });
    if coding != Coding::Identity {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
}

fn change(headers: &mut HeaderMap, name: &HeaderName, to: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let changed = headers.get(name).and_then(|value| to(value.as_bytes()));
    if let Some(value) = changed.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
        headers.insert(name, value);
    }
}

impl Origins<'_> {
    /// Whether a cookie's domain holds the upstream, and not the host that the visitor named.
    fn names_upstream_alone(&self, domain: &[u8]) -> bool {
        let Ok(domain) = std::str::from_utf8(domain) else { return false };
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let mut upstream = self.upstream.iter().filter_map(|origin| origin.split_once("://"));
        !is_within(host_of(self.authority), domain)
            && upstream.any(|(_, authority)| is_within(host_of(authority.trim_end_matches('/')), domain))
    }

    /// The address with the upstream's origin replaced by the public one; nothing where it names another.
    fn mapped(&self, address: &[u8]) -> Option<Vec<u8>> {
        let address = address.trim_ascii();
        let (scheme, rest) = split_scheme(address)?;
        let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let authority = std::str::from_utf8(authority).ok()?;
        let names_upstream = self.upstream.iter().any(|origin| {
            let Some((own, host)) = origin.trim_end_matches('/').split_once("://") else { return false };
            scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case(own))
                && without_default_port(host, own).eq_ignore_ascii_case(without_default_port(authority, own))
        });
        let start = match scheme {
            Some(_) => format!("{}://{}", self.scheme, self.authority),
            None => format!("//{}", self.authority),
        };
        names_upstream.then(|| [start.as_bytes(), path].concat())
    }
}

/// Cookies for a domain of the upstream's become cookies of the visited host alone: a browser takes none for a domain
/// that it does not visit (RFC 6265 section 5.3).
fn map_cookie_domains(headers: &mut HeaderMap, origins: Origins<'_>) {
    let is_lost = |value: &HeaderValue| {
        domains(value.as_bytes()).any(|domain| !domain.is_empty() && origins.names_upstream_alone(domain))
    };
    if !headers.get_all(SET_COOKIE).into_iter().any(is_lost) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(SET_COOKIE).into_iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for line in lines {
        let mapped = if is_lost(&line) { without_domain(&line) } else { Some(line) };
        if let Some(line) = mapped {
            headers.append(SET_COOKIE, line);
        }
    }
}

/// What the `Domain` attributes of a cookie say.
fn domains(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').skip(1).filter_map(|attribute| {
        let at = attribute.iter().position(|byte| *byte == b'=')?;
        let (name, value) = attribute.split_at_checked(at)?;
        is_domain(name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

fn without_domain(line: &HeaderValue) -> Option<HeaderValue> {
    let attributes = line.as_bytes().split(|byte| *byte == b';').enumerate();
    let kept: Vec<&[u8]> = attributes
        .filter(|(index, attribute)| {
            let name = attribute.split(|byte| *byte == b'=').next().unwrap_or_default();
            *index == 0 || !is_domain(name)
        })
        .map(|(_, attribute)| attribute)
        .collect();
    HeaderValue::from_bytes(&kept.join(&b';')).ok()
}

fn is_domain(name: &[u8]) -> bool {
    name.trim_ascii().eq_ignore_ascii_case(b"domain")
}

/// The host of an authority, without its port.
fn host_of(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => authority.get(..colon).unwrap_or(authority),
        Some(_) | None => authority,
    }
}

/// Whether a host lies in a domain.
fn is_within(host: &str, domain: &str) -> bool {
    let start = host.len().checked_sub(domain.len());
    let Some((parent, end)) = start.and_then(|start| host.split_at_checked(start)) else { return false };
    end.eq_ignore_ascii_case(domain) && (parent.is_empty() || parent.ends_with('.'))
}

/// The scheme of an address and what follows its `//`; no scheme where the address takes over the page's.
fn split_scheme(address: &[u8]) -> Option<(Option<&'static str>, &[u8])> {
    if let Some(rest) = address.strip_prefix(b"//") {
        return Some((None, rest));
    }
    ["http", "https"].into_iter().find_map(|scheme| {
        let (start, rest) = address.split_at_checked(scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme.as_bytes())
            .then(|| rest.strip_prefix(b"://"))?
            .map(|rest| (Some(scheme), rest))
    })
}

fn without_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// `5; url=http://…`, in each form that browsers follow (HTML section 4.2.5.3, shared declarative refresh steps).
fn refresh(value: &[u8], origins: Origins<'_>) -> Option<Vec<u8>> {
    let address = after_time(value)?;
    let address = after_url(address).unwrap_or(address);
    let address = address.strip_prefix(b"\"").or_else(|| address.strip_prefix(b"'")).unwrap_or(address);
    let before = value.strip_suffix(address)?;
    Some([before, &origins.mapped(address)?].concat())
}

/// What stands behind the time of a refresh.
fn after_time(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii_start();
    let time = value.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let rest = value.get(time..).filter(|rest| time > 0 && !rest.is_empty())?;
    let address = rest.trim_ascii_start();
    let address = address.strip_prefix(b";").or_else(|| address.strip_prefix(b",")).unwrap_or(address);
    (address.len() < rest.len()).then(|| address.trim_ascii_start())
}

/// What stands behind `url=`.
fn after_url(text: &[u8]) -> Option<&[u8]> {
    let (word, rest) = text.split_at_checked(3)?;
    let rest = rest.trim_ascii_start().strip_prefix(b"=")?;
    word.eq_ignore_ascii_case(b"url").then(|| rest.trim_ascii_start())
}

fn filter_links(headers: &mut HeaderMap, origins: Origins<'_>, may: impl Fn(Hint, &str) -> bool) {
    let lines: Vec<HeaderValue> = headers.get_all(LINK).into_iter().cloned().collect();
    if lines.is_empty() {
        return;
    }
    headers.remove(LINK);
    for line in lines {
        // A line that cannot be read cannot be judged.
        let Ok(text) = std::str::from_utf8(line.as_bytes()) else { continue };
        let items: Vec<&str> = links(text).collect();
        let kept: Vec<String> = items.iter().filter_map(|item| link(item, origins, &may)).collect();
        if let Ok(value) = HeaderValue::from_bytes(kept.join(", ").as_bytes())
            && !kept.is_empty()
        {
            headers.append(LINK, value);
        }
    }
}

fn link(item: &str, origins: Origins<'_>, may: impl Fn(Hint, &str) -> bool) -> Option<String> {
    let Some((target, parameters)) = item.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
        return Some(item.to_owned());
    };
    // Mapped first: the upstream's own address is the site's, not a stranger's.
    let mapped = origins.mapped(target.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok());
    let refused = hints(parameters).any(|hint| !may(hint, mapped.as_deref().unwrap_or(target)));
    if refused {
        return None;
    }
    Some(mapped.map_or_else(|| item.to_owned(), |target| format!("<{target}>{parameters}")))
}

/// What the relations of a link make a browser do (RFC 8288 section 3.3).
fn hints(parameters: &str) -> impl Iterator<Item = Hint> {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"))
        .flat_map(|(_, value)| value.trim().trim_matches('"').split_ascii_whitespace())
        .filter_map(|relation| {
            let is = |names: &[&str]| names.iter().any(|name| relation.eq_ignore_ascii_case(name));
            if is(&["preconnect", "dns-prefetch"]) {
                Some(Hint::Connect)
            } else if is(&[
                "preload",
                "modulepreload",
                "prefetch",
                "prerender",
                "next",
                "compression-dictionary",
            ]) {
                Some(Hint::Advance)
            } else if is(&["stylesheet", "icon", "manifest"]) {
                Some(Hint::Load)
            } else {
                None
            }
        })
}

/// The items of a `Link:` line: commas inside `<…>` and quotes part nothing.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.trim().is_empty() {
            return None;
        }
        let (mut in_target, mut in_quotes, mut is_escaped) = (false, false, false);
        let end = rest.find(|letter| {
            let escaped = std::mem::take(&mut is_escaped);
            match letter {
                '\\' if in_quotes && !escaped => is_escaped = true,
                '"' if !in_target && !escaped => in_quotes = !in_quotes,
                '<' if !in_quotes => in_target = true,
                '>' if !in_quotes => in_target = false,
                ',' => return !in_target && !in_quotes,
                _ => {}
            }
            false
        });
        let (item, after) = end.and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, ""));
        rest = after.strip_prefix(',').unwrap_or(after);
        Some(item.trim())
    })
    .filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let upstream = ["http://127.0.0.1:3000".into(), "https://app.internal".into()];
        let origins = Origins { upstream: &upstream, scheme: "https", authority: "www.example.se:8443" };
        let may = |hint: Hint, target: &str| match hint {
            Hint::Connect => !target.contains("tracker"),
            Hint::Advance | Hint::Load => !target.contains("tracker.example/t.js"),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        filter(&mut headers, origins, may);
        let once = headers.clone();
        filter(&mut headers, origins, may);
        assert_eq!(headers, once, "twice: {pairs:?}");
        headers
    }

    #[test]
    fn an_address_of_the_upstream_becomes_the_public_one() {
        for (before, after) in [
            ("http://127.0.0.1:3000/login?a=1", "https://www.example.se:8443/login?a=1"),
            ("HTTP://127.0.0.1:3000", "https://www.example.se:8443"),
            ("//127.0.0.1:3000/x", "//www.example.se:8443/x"),
            ("https://app.internal:443/x#y", "https://www.example.se:8443/x#y"),
            ("https://APP.internal/sök", "https://www.example.se:8443/sök"),
            ("https://app.internal?q", "https://www.example.se:8443?q"),
            // Others, and what only looks alike.
            ("http://app.internal/x", "http://app.internal/x"),
            ("http://127.0.0.1:30001/", "http://127.0.0.1:30001/"),
            ("http://127.0.0.1:3000.evil.example/", "http://127.0.0.1:3000.evil.example/"),
            ("http://127.0.0.1:3000@evil.example/", "http://127.0.0.1:3000@evil.example/"),
            ("/path?to=http://127.0.0.1:3000/", "/path?to=http://127.0.0.1:3000/"),
            ("https://elsewhere.example/", "https://elsewhere.example/"),
        ] {
            let headers = filtered(&[(LOCATION, before), (CONTENT_LOCATION, before)]);
            for name in [LOCATION, CONTENT_LOCATION] {
                assert_eq!(headers[name].as_bytes(), after.as_bytes(), "{before}");
            }
        }
    }

    #[test]
    fn a_refresh_leads_to_the_public_address() {
        for (before, after) in [
            ("0; url=http://127.0.0.1:3000/a", "0; url=https://www.example.se:8443/a"),
            ("5;URL='http://127.0.0.1:3000/a'", "5;URL='https://www.example.se:8443/a'"),
            ("0;url = http://127.0.0.1:3000/a", "0;url = https://www.example.se:8443/a"),
            (" 0.5, \"http://127.0.0.1:3000/a\"", " 0.5, \"https://www.example.se:8443/a\""),
            ("0 http://127.0.0.1:3000/a", "0 https://www.example.se:8443/a"),
            ("0; http://127.0.0.1:3000/a", "0; https://www.example.se:8443/a"),
            ("5", "5"),
            ("5;", "5;"),
            ("url=http://127.0.0.1:3000/a", "url=http://127.0.0.1:3000/a"),
            ("5url=http://127.0.0.1:3000/a", "5url=http://127.0.0.1:3000/a"),
            ("5; url=/a", "5; url=/a"),
        ] {
            assert_eq!(filtered(&[(REFRESH, before)])[REFRESH], after);
        }
    }

    #[test]
    fn a_cookie_for_the_domain_of_the_upstream_becomes_one_of_the_visited_host() {
        for (before, after) in [
            ("a=1; Domain=app.internal; Path=/", "a=1; Path=/"),
            ("a=1; Path=/; domain=.APP.internal", "a=1; Path=/"),
            ("a=1;Domain=internal;Secure", "a=1;Secure"),
            ("a=1; Domain = 127.0.0.1 ; HttpOnly", "a=1; HttpOnly"),
            ("a=1; Domain=app.internal; Domain=app.internal", "a=1"),
            // The visitor's own, and others.
            ("a=1; Domain=www.example.se", "a=1; Domain=www.example.se"),
            ("a=1; Domain=.example.se", "a=1; Domain=.example.se"),
            ("a=1; Domain=other.internal", "a=1; Domain=other.internal"),
            ("a=1; Domain=nternal", "a=1; Domain=nternal"),
            ("a=1; Domain=", "a=1; Domain="),
            ("a=1; Domain", "a=1; Domain"),
            ("a=domain=app.internal", "a=domain=app.internal"),
            ("Domain=app.internal", "Domain=app.internal"),
        ] {
            assert_eq!(filtered(&[(SET_COOKIE, before)])[SET_COOKIE], after, "{before}");
        }
        let both = filtered(&[(SET_COOKIE, "a=1; Domain=app.internal"), (SET_COOKIE, "b=2")]);
        let lines: Vec<_> = both.get_all(SET_COOKIE).into_iter().collect();
        assert_eq!(lines, ["a=1", "b=2"]);
    }

    proptest! {
        #[test]
        fn no_cookie_panics_and_all_that_is_left_of_it_was_there(value in "([ -~]|; ?[Dd]omain ?=? ?\\.?(app\\.internal)?){0,40}") {
            let value = value.trim();
            let mapped = filtered(&[(SET_COOKIE, value)]);
            let mapped = mapped[SET_COOKIE].as_bytes().split(|byte| *byte == b';').map(<[u8]>::to_vec);
            let before: Vec<_> = value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::to_vec).collect();
            for attribute in mapped {
                prop_assert!(before.contains(&attribute));
            }
        }
    }

    #[test]
    fn hints_to_what_may_not_act_go_item_by_item() {
        for (before, after) in [
            ("</a.css>; rel=preload; as=style", Some("</a.css>; rel=preload; as=style")),
            ("<https://tracker.example>; rel=preconnect", None),
            ("<//tracker.example>; rel=\"dns-prefetch\"", None),
            (
                "<https://tracker.example/t.js>; rel=preload; as=script, </a.css>; rel=preload",
                Some("</a.css>; rel=preload"),
            ),
            ("<https://tracker.example/t.js>; rel=\"nofollow PREFETCH\"", None),
            (
                "<https://tracker.example/about>; rel=author",
                Some("<https://tracker.example/about>; rel=author"),
            ),
            ("</a,b>; title=\"x, <y>\"; rel=next", Some("</a,b>; title=\"x, <y>\"; rel=next")),
            ("<http://127.0.0.1:3000/2>; rel=next", Some("<https://www.example.se:8443/2>; rel=next")),
            ("nonsense", Some("nonsense")),
        ] {
            let headers = filtered(&[(LINK, before)]);
            assert_eq!(headers.get(LINK).map(|value| value.to_str().unwrap()), after, "{before}");
        }
    }

    #[test]
    fn no_answer_leads_around_the_proxy() {
        assert!(filtered(&[(ALT_SVC, "h3=\":443\"")]).is_empty());
    }

    #[test]
    fn what_is_untrue_of_a_rewritten_body_goes() {
        let mut headers = HeaderMap::new();
        for name in
            ["content-length", "content-md5", "digest", "repr-digest", "content-digest", "accept-ranges"]
        {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("x-gzip"));
        rewritten(&mut headers, Coding::Gzip);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        rewritten(&mut headers, Coding::Identity);
        assert!(headers.is_empty());
    }
}
