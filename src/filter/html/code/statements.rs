//! The statements of a classic script, told apart far enough to leave some of them out; what cannot be told apart for
//! sure is not told apart at all.

use std::ops::Range;

/// A piece of code between blanks and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
    /// Whether a line has ended before it.
    is_on_new_line: bool,
    /// How many brackets are open around it.
    depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    Number,
    Text,
    Pattern,
    Sign,
}

/// The places of the outermost statements, in their order; nothing where that cannot be told.
pub(super) fn split(code: &str) -> Option<Vec<Range<usize>>> {
    let tokens = tokens(code)?;
    let mut places = Vec::new();
    let mut first: Option<usize> = None;
    for (index, token) in tokens.iter().enumerate() {
        if first.is_none() && begins_badly(token) {
            return None;
        }
        let start = *first.get_or_insert(index);
        let next = tokens.get(index + 1);
        if token.depth == 0 && ends(&tokens, start, index, next) {
            let begin = tokens.get(start)?;
            places.push(begin.start..token.start + token.text.len());
            first = None;
        }
    }
    // The end of the script ends its last statement.
    if let Some(start) = first {
        let (begin, last) = (tokens.get(start)?, tokens.last()?);
        places.push(begin.start..last.start + last.text.len());
    }
    Some(places)
}

/// Whether a statement cannot begin so: then it was told apart in the wrong place.
fn begins_badly(token: &Token<'_>) -> bool {
    matches!(token.text, "else" | "catch" | "finally" | ")" | "]" | "}" | "," | "." | "?" | ":")
}

/// Whether a statement that begins at `start` ends with the outermost token `at`.
fn ends(tokens: &[Token<'_>], start: usize, at: usize, next: Option<&Token<'_>>) -> bool {
    const HEADED: [&str; 14] = [
        "if", "for", "while", "do", "with", "switch", "try", "else", "function", "class", "async", "label",
        "return", "{",
    ];
    let (Some(first), Some(token)) = (tokens.get(start), tokens.get(at)) else { return false };
    let goes_on = next.is_some_and(|next| {
        matches!(next.text, "else" | "catch" | "finally" | "instanceof" | "in" | "of")
            || first.text == "do" && next.text == "while"
    });
    if goes_on {
        return false;
    }
    let is_headed = HEADED.contains(&first.text);
    match token.text {
        ";" => return true,
        // The end of a block; of an expression, it goes on.
        "}" if is_headed => {
            return next.is_none_or(|next| !matches!(next.text, "(" | "." | "," | "[" | "while" | "`"));
        }
        _ => {}
    }
    // A line's end ends a statement where what follows cannot belong to it (ECMAScript, section 12.10).
    let Some(next) = next.filter(|next| next.is_on_new_line && !is_headed) else { return false };
    let is_whole = match token.kind {
        Kind::Number | Kind::Text | Kind::Pattern => true,
        Kind::Name => !matches!(
            token.text,
            "var"
                | "let"
                | "const"
                | "new"
                | "typeof"
                | "void"
                | "delete"
                | "in"
                | "of"
                | "instanceof"
                | "await"
                | "yield"
                | "throw"
                | "import"
                | "export"
                | "from"
                | "extends"
        ),
        Kind::Sign => matches!(token.text, ")" | "]" | "}"),
    };
    is_whole && matches!(next.kind, Kind::Name | Kind::Number)
}

/// The names that a statement gives a value to, outside of its functions.
pub(super) fn declared(statement: &str) -> Vec<&str> {
    let Some(tokens) = tokens(statement) else { return Vec::new() };
    let mut names = Vec::new();
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.depth == 0) {
        let before =
            index.checked_sub(1).and_then(|before| tokens.get(before)).map_or("", |token| token.text);
        let after = tokens.get(index + 1).map_or("", |token| token.text);
        let is_declared = matches!(before, "var" | "let" | "const" | "function" | "class");
        if token.kind == Kind::Name && (is_declared || after == "=") {
            names.push(token.text);
        }
    }
    names
}

/// Every name in code, as it is used: not those of properties.
pub(super) fn names(code: &str) -> impl Iterator<Item = &str> {
    let tokens = tokens(code).unwrap_or_default();
    let mut is_property = false;
    tokens.into_iter().filter_map(move |token| {
        let was = std::mem::replace(&mut is_property, token.text == ".");
        (token.kind == Kind::Name && !was).then_some(token.text)
    })
}

/// The tokens of code; nothing where a string, a bracket or a comment does not end.
fn tokens(code: &str) -> Option<Vec<Token<'_>>> {
    let bytes = code.as_bytes();
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut open = Vec::new();
    let (mut at, mut is_on_new_line) = (0, true);
    while let Some(byte) = bytes.get(at) {
        let rest = code.get(at..)?;
        // U+2028 and U+2029 end lines as well; a page is read letter by byte, so they look like this.
        if byte.is_ascii_whitespace() || *byte == 0x0b || rest.starts_with(['\u{a0}', '\u{feff}']) {
            is_on_new_line |= matches!(byte, b'\n' | b'\r');
            at += rest.chars().next()?.len_utf8();
            continue;
        }
        if let Some(length) = comment(rest, is_on_new_line)? {
            is_on_new_line |= rest.get(..length)?.contains(['\n', '\r']);
            at += length;
            continue;
        }
        let (kind, length) = token(rest, tokens.last())?;
        let text = rest.get(..length)?;
        if kind == Kind::Sign && matches!(text, ")" | "]" | "}") && open.pop() != Some(text) {
            return None;
        }
        tokens.push(Token { kind, text, start: at, is_on_new_line, depth: open.len() });
        if kind == Kind::Sign {
            match text {
                "(" => open.push(")"),
                "[" => open.push("]"),
                "{" => open.push("}"),
                _ => {}
            }
        }
        is_on_new_line = false;
        at += length;
    }
    open.is_empty().then_some(tokens)
}

/// How long the comment is that `rest` begins with, if it does; nothing at all where it does not end.
fn comment(rest: &str, is_on_new_line: bool) -> Option<Option<usize>> {
    // Markup's comments are comments of one line in classic scripts (ECMAScript, section B.1.1).
    let is_line =
        rest.starts_with("//") || rest.starts_with("<!--") || is_on_new_line && rest.starts_with("-->");
    if is_line {
        return Some(Some(rest.find(['\n', '\r']).unwrap_or(rest.len())));
    }
    if rest.starts_with("/*") {
        return rest.get(2..)?.find("*/").map(|end| Some(end + 4));
    }
    Some(None)
}

fn token(rest: &str, before: Option<&Token<'_>>) -> Option<(Kind, usize)> {
    let first = rest.chars().next()?;
    match first {
        '"' | '\'' => Some((Kind::Text, string(rest, first)?)),
        '`' => Some((Kind::Text, template(rest)?)),
        '/' if begins_pattern(before) => Some((Kind::Pattern, pattern(rest)?)),
        letter if is_of_name(letter) || letter == '\\' => {
            let length = rest.find(|letter| !is_of_name(letter) && letter != '\\').unwrap_or(rest.len());
            let kind = if letter.is_ascii_digit() { Kind::Number } else { Kind::Name };
            Some((kind, length))
        }
        // `=` alone must not be taken for the beginning of `==` or `=>`, nor for the end of `+=`.
        '=' if rest.starts_with("===") => Some((Kind::Sign, 3)),
        '=' if rest.starts_with("==") || rest.starts_with("=>") => Some((Kind::Sign, 2)),
        '!' | '<' | '>' | '+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' if rest.get(1..2) == Some("=") => {
            Some((Kind::Sign, 2))
        }
        letter => Some((Kind::Sign, letter.len_utf8())),
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '#') || letter > '\u{7f}'
}

fn string(rest: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\n' | '\r' => return None,
            letter if letter == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A template without code in it; one with code is too much to read.
fn template(rest: &str) -> Option<usize> {
    let mut is_escaped = false;
    let mut before = ' ';
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '`' => return Some(at + 1),
            '{' if before == '$' => return None,
            _ => {}
        }
        before = letter;
    }
    None
}

/// Whether a slash begins a pattern, and does not divide.
fn begins_pattern(before: Option<&Token<'_>>) -> bool {
    let Some(before) = before else { return true };
    match before.kind {
        Kind::Number | Kind::Text | Kind::Pattern => false,
        Kind::Name => matches!(
            before.text,
            "return" | "typeof" | "case" | "in" | "of" | "void" | "delete" | "else" | "do"
        ),
        Kind::Sign => !matches!(before.text, ")" | "]" | "}"),
    }
}

fn pattern(rest: &str) -> Option<usize> {
    let (mut is_escaped, mut in_class) = (false, false);
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            '\n' | '\r' => return None,
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => {
                let flags = rest.get(at + 1..)?;
                let length = flags.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(flags.len());
                return Some(at + 1 + length);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(code: &str) -> Option<Vec<&str>> {
        Some(split(code)?.into_iter().map(|place| &code[place]).collect())
    }

    #[test]
    fn statements_are_told_apart_where_that_is_sure() {
        for (code, expected) in [
            ("a(); b()", Some(vec!["a();", "b()"])),
            ("a()\nb()\n", Some(vec!["a()", "b()"])),
            ("a\n.b()\n(c)\n+ d\ne()", Some(vec!["a\n.b()\n(c)\n+ d", "e()"])),
            ("var a = 1,\n b = 2\nc()", Some(vec!["var a = 1,\n b = 2", "c()"])),
            ("if (a)\n b()\nelse c(); d()", Some(vec!["if (a)\n b()\nelse c();", "d()"])),
            ("if (a) { b(); } else { c(); } d()", Some(vec!["if (a) { b(); } else { c(); }", "d()"])),
            (
                "try { a } catch (e) { b } finally { c } d",
                Some(vec!["try { a } catch (e) { b } finally { c }", "d"]),
            ),
            ("do { a } while (b); c", Some(vec!["do { a } while (b);", "c"])),
            ("function f() { return 1 }\nf()", Some(vec!["function f() { return 1 }", "f()"])),
            ("(function () { a; b })(); c", Some(vec!["(function () { a; b })();", "c"])),
            ("!function () { a; b }();\nc", Some(vec!["!function () { a; b }();", "c"])),
            ("var o = { a: 1 }\nb()", Some(vec!["var o = { a: 1 }", "b()"])),
            ("// a; b\n/* c; */ d; <!-- e;\n--> f;\ng", Some(vec!["d;", "g"])),
            (
                "a = 'x;y'; b = \"\\\";\"; c = /[/;]\\/;/g; d",
                Some(vec!["a = 'x;y';", "b = \"\\\";\";", "c = /[/;]\\/;/g;", "d"]),
            ),
            ("a = b / c; d / e", Some(vec!["a = b / c;", "d / e"])),
            ("for (;;) { a } b", Some(vec!["for (;;) { a }", "b"])),
            ("for (i = 0; i < 1; i++) a(i); b", Some(vec!["for (i = 0; i < 1; i++) a(i);", "b"])),
            ("", Some(vec![])),
            ("a(", None),
            ("a)", None),
            ("a('", None),
            ("`${a}`", None),
            ("(a]", None),
            ("/* a", None),
        ] {
            assert_eq!(parts(code), expected, "{code}");
        }
    }

    #[test]
    fn names_are_those_of_the_outermost_statement() {
        assert_eq!(declared("var a = b, c = function () { var d = 1 };"), ["a", "c"]);
        assert_eq!(declared("function f(x) { y = 1 }"), ["f"]);
        assert_eq!(declared("a.b = 1; if (c == d) {}"), ["b"]);
        assert_eq!(names("a.b(c, 'd', e[f])").collect::<Vec<_>>(), ["a", "c", "e", "f"]);
    }
}
