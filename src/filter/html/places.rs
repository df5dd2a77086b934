//! Where in a tag an address, or code, can stand: the one table of the rewriter and of its look-ahead. Pure.

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// An address.
    Address,
    /// An address of something that may be a page or a script of its own: `data:` and `javascript:` count.
    Document,
    /// Addresses with sizes (`srcset`).
    List,
    /// Addresses with blanks or commas between them.
    Words,
    /// An address behind a delay (`5; url=/next`).
    Refresh,
    /// Style rules.
    Style,
    /// What a lazy loader puts into another attribute: any of the above.
    Lazy,
    /// Code that runs when something happens.
    Code,
    /// Words by which a script of a service knows what it fills.
    Mark(Known),
}

/// By what an element is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The words of its `class`.
    Class,
    /// Its `id`.
    Id,
}

/// What the attribute `name` of an element `tag` holds, both in lower case; nothing where no browser loads from it.
pub(super) fn of(tag: &[u8], name: &[u8]) -> Option<Holds> {
    of_any(name).or_else(|| of_tag(tag, name)).map(|holds| match (tag, holds) {
        (
            b"script" | b"iframe" | b"frame" | b"object" | b"embed" | b"fencedframe" | b"portal",
            Holds::Address,
        ) => Holds::Document,
        (_, holds) => holds,
    })
}

/// Whether an attribute of this name, in any case, may be one that [`of`] or the look ahead knows, as far as its first
/// two letters tell: most are none.
pub(super) fn may_be(name: &[u8]) -> bool {
    let [first, second, ..] = name else { return false };
    let letter = |byte: &u8| byte.to_ascii_lowercase().wrapping_sub(b'a');
    BEGINNINGS.get(usize::from(letter(first))).is_some_and(|seconds| {
        let second = letter(second);
        second < 26 && seconds >> second & 1 == 1
    })
}

/// By the first letter, which ones may be the second.
#[expect(clippy::indexing_slicing, reason = "the compiler itself indexes")]
const BEGINNINGS: [u32; 26] = {
    let known = b"arbaclcocudadyfifrhrhtidimlomaonpiposrsttovaxl";
    let mut seconds = [0; 26];
    let mut at = 0;
    while at < known.len() {
        seconds[(known[at] - b'a') as usize] |= 1 << (known[at + 1] - b'a');
        at += 2;
    }
    seconds
};

/// What means the same on any element, or nothing. Elements of AMP and the like load from `src`, too.
fn of_any(name: &[u8]) -> Option<Holds> {
    match name {
        b"src" | b"poster" | b"background" | b"lowsrc" | b"dynsrc" => Some(Holds::Address),
        b"srcset" | b"imagesrcset" => Some(Holds::List),
        b"ping" => Some(Holds::Words),
        b"style" => Some(Holds::Style),
        [b'o', b'n', b'a'..=b'z', ..] => Some(Holds::Code),
        [b'd', b'a', b't', b'a', b'-', rest @ ..] => is_lazy(rest).then_some(Holds::Lazy),
        _ => None,
    }
}

fn of_tag(tag: &[u8], name: &[u8]) -> Option<Holds> {
    match (tag, name) {
        // What a link or a form leads to is the visitor's own step, and no place.
        (b"link" | b"script" | b"image" | b"use" | b"feimage", b"href") => Some(Holds::Address),
        (b"script" | b"image" | b"use" | b"feimage", b"xlink:href") => Some(Holds::Address),
        (b"object", b"data" | b"classid" | b"codebase") | (b"applet", b"codebase" | b"code") => {
            Some(Holds::Address)
        }
        (b"object" | b"applet", b"archive") => Some(Holds::Words),
        (b"param", b"value") => Some(Holds::Address),
        (b"meta", b"content") => Some(Holds::Refresh),
        (b"amp-analytics", b"config") => Some(Holds::Address),
        // Animations write addresses, too.
        (b"set" | b"animate", b"to" | b"from") => Some(Holds::Address),
        (b"animate", b"values") => Some(Holds::Words),
        // What embeds are written as.
        (b"blockquote" | b"div" | b"a" | b"section", b"class") => Some(Holds::Mark(Known::Class)),
        (b"blockquote" | b"div" | b"a" | b"section", b"id") => Some(Holds::Mark(Known::Id)),
        // Of SVG, as attributes.
        (
            _,
            b"fill" | b"stroke" | b"filter" | b"mask" | b"clip-path" | b"cursor" | b"marker-start"
            | b"marker-mid" | b"marker-end",
        ) => Some(Holds::Style),
        _ => None,
    }
}

/// Whether lazy loaders know `data-` and this name: `data-src`, `data-lazy-srcset`, `data-cfsrc`, `data-bg`.
fn is_lazy(rest: &[u8]) -> bool {
    if rest.starts_with(b"consentry-") {
        return false;
    }
    let names: [&[u8]; 12] = [
        b"original",
        b"bg",
        b"background",
        b"background-image",
        b"bg-image",
        b"bgset",
        b"poster",
        b"echo",
        b"image",
        b"img",
        b"iframe",
        b"style",
    ];
    names.contains(&rest)
        || rest.ends_with(b"src")
        || rest.ends_with(b"srcset")
        || memchr::memmem::find(rest, b"lazy").is_some()
}

/// Whether an element is nothing but what it loads from an attribute that holds this: where that is stripped, it goes.
pub(super) fn is_nothing_but(tag: &str, holds: Holds) -> bool {
    let loads =
        matches!(holds, Holds::Address | Holds::Document | Holds::List | Holds::Refresh | Holds::Lazy);
    // A frame keeps its place, as those after it would move up.
    let goes = matches!(
        tag,
        "script"
            | "iframe"
            | "embed"
            | "img"
            | "image"
            | "object"
            | "applet"
            | "source"
            | "track"
            | "link"
            | "meta"
            | "use"
            | "feimage"
            | "bgsound"
            | "fencedframe"
            | "portal"
            | "param"
            | "set"
            | "animate"
    );
    loads && (goes || tag.contains('-'))
}

/// Whether an attribute that holds this makes the element a frame.
pub(super) fn is_frame(tag: &str, holds: Holds) -> bool {
    matches!(tag, "iframe" | "frame" | "object" | "embed" | "fencedframe" | "portal")
        && matches!(holds, Holds::Document | Holds::Lazy)
}

/// Whether a link of these relations, in lower case, makes a browser load or connect.
pub(super) fn loads(rel: &str) -> bool {
    const PASSIVE: [&str; 26] = [
        "alternate",
        "archives",
        "author",
        "bookmark",
        "canonical",
        "contents",
        "copyright",
        "edituri",
        "external",
        "first",
        "help",
        "index",
        "last",
        "license",
        "me",
        "nofollow",
        "noopener",
        "noreferrer",
        "pingback",
        "privacy-policy",
        "profile",
        "publisher",
        "shortlink",
        "start",
        "tag",
        "up",
    ];
    // A relation that nobody here knows may load: `next` does in some browsers.
    rel.split_ascii_whitespace().any(|word| !PASSIVE.contains(&word))
}

/// Whether a link of these relations, in lower case, makes a browser connect or load in advance, which no policy is
/// sure to stop. What is preloaded is a part of the page, and the policy's.
pub(super) fn hints(rel: &str) -> bool {
    rel.split_ascii_whitespace()
        .any(|word| matches!(word, "preconnect" | "dns-prefetch" | "prefetch" | "prerender" | "next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_holds_what_browsers_find_there() {
        for (tag, name, expected) in [
            ("script", "src", Some(Holds::Document)),
            ("script", "xlink:href", Some(Holds::Document)),
            ("iframe", "data-src", Some(Holds::Lazy)),
            ("img", "srcset", Some(Holds::List)),
            ("img", "data-cfsrc", Some(Holds::Lazy)),
            ("div", "data-bg", Some(Holds::Lazy)),
            ("div", "data-lazyload", Some(Holds::Lazy)),
            ("div", "data-background-image", Some(Holds::Lazy)),
            ("p", "style", Some(Holds::Style)),
            ("td", "background", Some(Holds::Address)),
            ("a", "ping", Some(Holds::Words)),
            ("a", "href", None),
            ("area", "href", None),
            ("form", "action", None),
            ("button", "formaction", None),
            ("blockquote", "cite", None),
            ("link", "href", Some(Holds::Address)),
            ("amp-pixel", "src", Some(Holds::Address)),
            ("svg", "href", None),
            ("image", "href", Some(Holds::Address)),
            ("rect", "fill", Some(Holds::Style)),
            ("body", "onload", Some(Holds::Code)),
            ("p", "on", None),
            ("p", "one", Some(Holds::Code)),
            ("img", "data-consentry-src", None),
            ("img", "data-consentry-data-src", None),
            ("div", "data-id", None),
            ("div", "data-href", None),
        ] {
            assert_eq!(of(tag.as_bytes(), name.as_bytes()), expected, "{tag} {name}");
        }
    }

    #[test]
    fn no_known_place_is_missed_by_its_first_letters() {
        let source = include_str!("places.rs");
        let (table, _) = source.split_once("#[cfg(test)]").unwrap();
        let mut known = vec!["http-equiv", "data-src", "onload", "ONCLICK", "Src"];
        known.extend(table.split("b\"").skip(1).filter_map(|rest| rest.split('"').next()));
        let tags = known.clone();
        for name in known {
            let is_known = tags.iter().any(|tag| of(tag.as_bytes(), name.as_bytes()).is_some());
            assert!(may_be(name.as_bytes()) || !is_known && name != "http-equiv", "{name}");
        }
        for name in ["alt", "width", "height", "rel", "title", "type", "a", ""] {
            assert!(!may_be(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_link_loads_unless_its_relations_only_tell() {
        for (rel, loading, hinting) in [
            ("stylesheet", true, false),
            ("alternate stylesheet", true, false),
            ("shortcut icon", true, false),
            ("preconnect", true, true),
            ("dns-prefetch preconnect", true, true),
            ("next", true, true),
            ("unheard-of", true, false),
            ("canonical", false, false),
            ("alternate", false, false),
            ("nofollow me", false, false),
            ("", false, false),
        ] {
            assert_eq!((loads(rel), hints(rel)), (loading, hinting), "{rel}");
        }
    }
}
