//! A cookie's name without what may tell one visitor from another.

use std::borrow::Cow;

use super::LONGEST;

/// The name, or how it begins followed by `*`: from where it seems to hold an identifier, nothing is kept.
pub fn pattern(name: &str) -> Cow<'_, str> {
    match cut(name) {
        Some(at) => Cow::Owned(format!("{}*", name.get(..at).unwrap_or_default())),
        None => Cow::Borrowed(name),
    }
}

/// Where the first identifier begins.
fn cut(name: &str) -> Option<usize> {
    // Classic ASP writes eight random letters there.
    const OF_ASP: &str = "ASPSESSIONID";
    if name.len() > OF_ASP.len() && name.starts_with(OF_ASP) {
        return Some(OF_ASP.len());
    }
    // What no cookie's name may hold (RFC 6265 section 4.1.1), and what addresses of people are made with.
    let strange = name.find(|c: char| !c.is_ascii_graphic() || "@%\"'<>()[]{}\\,;=".contains(c));
    let long = (name.len() > LONGEST).then(|| name.floor_char_boundary(LONGEST));
    let identifier = runs(name).find_map(|(start, run)| identifier(run).map(|at| start + at));
    [strange, long, identifier].into_iter().flatten().min()
}

/// The parts of letters and digits, with where they begin.
fn runs(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = name.as_ptr().addr();
    name.split(|c: char| !c.is_ascii_alphanumeric()).map(move |run| (run.as_ptr().addr() - start, run))
}

/// Where in a run an identifier begins: at its first digit, with the hexadecimal letters before that.
fn identifier(run: &str) -> Option<usize> {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let is_number = digits > 0 && digits == run.len();
    if !is_number && digits < 3 {
        let is_random =
            run.len() >= 24 && run.bytes().any(|byte| byte.is_ascii_uppercase()) && has_lower(run);
        return is_random.then_some(0);
    }
    let first = run.find(|c: char| c.is_ascii_digit())?;
    let before = run.get(..first).unwrap_or_default();
    Some(before.trim_end_matches(|c| matches!(c, 'a'..='f')).len())
}

fn has_lower(run: &str) -> bool {
    run.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_like_an_identifier_is_cut_off() {
        for (name, expected) in [
            ("PHPSESSID", "PHPSESSID"),
            ("JSESSIONID", "JSESSIONID"),
            ("cart", "cart"),
            ("theme-v2", "theme-v2"),
            ("__Host-sid", "__Host-sid"),
            (".AspNetCore.Antiforgery.VyLW6ORzMgk", ".AspNetCore.Antiforgery.VyLW6ORzMgk"),
            ("NAME.1a2b3c", "NAME.*"),
            ("_ga_AB12CD34", "_ga_AB*"),
            ("_pk_id.1.1fff", "_pk_id.*"),
            ("poll_7", "poll_*"),
            ("user12345", "user*"),
            ("SESS49960de5880e8c687434170f6476605b", "SESS*"),
            ("wordpress_logged_in_0123456789abcdef0123456789abcdef", "wordpress_logged_in_*"),
            ("ASPSESSIONIDQQABCDRS", "ASPSESSIONID*"),
            ("u-anna@example.se", "u-anna*"),
            ("visited_aGVsbGogdTlybGQgaGVsbGogdTly", "visited_*"),
            ("kaka-å", "kaka-*"),
        ] {
            assert_eq!(pattern(name), expected, "{name}");
        }
        assert_eq!(pattern(&"n".repeat(200)).len(), LONGEST + 1);
    }

    proptest! {
        #[test]
        fn a_pattern_is_short_and_stays_as_it_is(name in "\\PC{0,120}") {
            let once = pattern(&name).into_owned();
            prop_assert!(once.len() <= LONGEST + 1);
            let again = pattern(&once).into_owned();
            prop_assert_eq!(again, once);
        }
    }
}
