//! Makes a script of ours small: no remarks, no needless blanks, short names for what it declares itself.
//!
//! It knows the JavaScript that these scripts are written in, not all of it: every statement ends with a semicolon,
//! no template strings, no labels, and a declared name is never the key of an object written out.

use std::collections::{BTreeMap, BTreeSet};

/// One piece of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name or a word of the language.
    Name(&'a str),
    /// A number, a string or a regular expression.
    Value(&'a str),
    /// One character of punctuation.
    Mark(char),
    /// A line end that may end a statement.
    LineEnd,
}

/// The script, packed.
pub(super) fn pack(source: &str) -> String {
    let tokens = tokens(source);
    let names = short_names(&tokens);
    let mut out = String::with_capacity(source.len() / 2);
    for (index, token) in tokens.iter().enumerate() {
        let text = match token {
            Token::Name(name) if is_variable(&tokens, index) => names.get(name).map_or(*name, String::as_str),
            Token::Name(text) | Token::Value(text) => text,
            Token::Mark(mark) => {
                // `a + +b` is not `a++b`.
                if matches!(mark, '+' | '-') && out.ends_with(*mark) && is_apart(source, &tokens, index) {
                    out.push(' ');
                }
                out.push(*mark);
                continue;
            }
            Token::LineEnd => {
                if !out.ends_with(['\n', ';', '{', '}', ',', '(']) && !out.is_empty() {
                    out.push('\n');
                }
                continue;
            }
        };
        if out.ends_with(is_letter) && text.starts_with(is_letter) {
            out.push(' ');
        }
        out.push_str(text);
    }
    out.replace(";}", "}")
}

/// Whether two marks of one kind were written apart; `++` and `--` never are.
fn is_apart(source: &str, tokens: &[Token<'_>], index: usize) -> bool {
    let (Some(Token::Mark(one)), Some(Token::Mark(two))) =
        (index.checked_sub(1).and_then(|before| tokens.get(before)), tokens.get(index))
    else {
        return false;
    };
    source.contains(&format!("{one} {two}"))
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$')
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\n' => {
                tokens.push(Token::LineEnd);
                1
            }
            _ if first.is_ascii_whitespace() => 1,
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => value(&mut tokens, rest, quoted(rest, first)),
            '/' if may_be_expression(&tokens) => value(&mut tokens, rest, expression(rest)),
            '0'..='9' => {
                let end = rest.find(|letter| !is_letter(letter) && letter != '.').unwrap_or(rest.len());
                value(&mut tokens, rest, end)
            }
            _ if is_letter(first) => {
                let end = rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len());
                tokens.push(Token::Name(rest.get(..end).unwrap_or(rest)));
                end
            }
            _ => {
                tokens.push(Token::Mark(first));
                first.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    tokens
}

fn value<'a>(tokens: &mut Vec<Token<'a>>, rest: &'a str, length: usize) -> usize {
    tokens.push(Token::Value(rest.get(..length).unwrap_or(rest)));
    length
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, letter)| {
        let ends = *letter == quote && !is_escaped;
        is_escaped = *letter == '\\' && !is_escaped;
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}

/// A regular expression with its flags; a slash in a class does not end it.
fn expression(rest: &str) -> usize {
    let (mut is_escaped, mut is_class) = (false, false);
    let end = rest.char_indices().skip(1).find(|(_, letter)| {
        let ends = *letter == '/' && !is_escaped && !is_class;
        match letter {
            '[' if !is_escaped => is_class = true,
            ']' if !is_escaped => is_class = false,
            _ => {}
        }
        is_escaped = *letter == '\\' && !is_escaped;
        ends
    });
    let end = end.map_or(rest.len(), |(at, _)| at + 1);
    let flags = rest.get(end..).unwrap_or_default().bytes().take_while(u8::is_ascii_lowercase).count();
    end + flags
}

/// Whether a slash begins a regular expression here, and does not divide.
fn may_be_expression(tokens: &[Token<'_>]) -> bool {
    match tokens.iter().rev().find(|token| **token != Token::LineEnd) {
        None => true,
        Some(Token::Mark(mark)) => !matches!(mark, ')' | ']' | '}'),
        Some(Token::Name(name)) => matches!(*name, "return" | "typeof" | "case" | "in"),
        Some(Token::Value(_) | Token::LineEnd) => false,
    }
}

/// Whether the name at `index` is that of a variable: neither a property's nor a key's.
fn is_variable(tokens: &[Token<'_>], index: usize) -> bool {
    let mut before =
        tokens.get(..index).unwrap_or_default().iter().rev().filter(|token| **token != Token::LineEnd);
    let before = before.next();
    let after = tokens.get(index + 1);
    let is_key = after == Some(&Token::Mark(':')) && matches!(before, Some(Token::Mark('{' | ',')));
    before != Some(&Token::Mark('.')) && !is_key
}

/// A short name for each declared one; the most used get the shortest.
fn short_names<'a>(tokens: &[Token<'a>]) -> BTreeMap<&'a str, String> {
    let declared = declared(tokens);
    let mut uses = BTreeMap::<&str, usize>::new();
    let mut taken = BTreeSet::new();
    for (index, token) in tokens.iter().enumerate() {
        let Token::Name(name) = token else { continue };
        if !is_variable(tokens, index) {
            continue;
        }
        if declared.contains(name) {
            *uses.entry(name).or_default() += 1;
        } else {
            taken.insert(*name);
        }
    }
    let mut order: Vec<_> = uses.into_iter().collect();
    order.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut free = candidates().filter(|name| !taken.contains(name.as_str()));
    order.into_iter().filter_map(|(name, _)| Some((name, free.next()?))).collect()
}

fn candidates() -> impl Iterator<Item = String> {
    let letters = || (b'a'..=b'z').chain(b'A'..=b'Z').map(char::from);
    let single = letters().map(String::from);
    single.chain(letters().flat_map(move |one| letters().map(move |two| format!("{one}{two}"))))
}

/// Every name that the script declares: variables, functions, parameters.
fn declared<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let mut declared = BTreeSet::new();
    for (index, token) in tokens.iter().enumerate() {
        let rest = tokens.get(index + 1..).unwrap_or_default();
        match token {
            Token::Name("var") => variables(rest, &mut declared),
            Token::Name("function" | "catch") => parameters(rest, &mut declared),
            _ => {}
        }
    }
    declared
}

/// `NAME(a, b)` after `function`, or `(e)` after `catch`.
fn parameters<'a>(rest: &[Token<'a>], declared: &mut BTreeSet<&'a str>) {
    for token in rest.iter().take_while(|token| **token != Token::Mark(')')) {
        if let Token::Name(name) = token {
            declared.insert(name);
        }
    }
}

/// `a = …, b` after `var`.
fn variables<'a>(rest: &[Token<'a>], declared: &mut BTreeSet<&'a str>) {
    let (mut depth, mut is_next) = (0, true);
    for token in rest {
        match token {
            Token::Name(name) if is_next => {
                declared.insert(name);
                is_next = false;
            }
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') if depth == 0 => return,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            Token::Mark(';') if depth == 0 => return,
            Token::Mark(',') if depth == 0 => is_next = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_packed_without_a_change_of_meaning() {
        for (source, expected) in [
            ("// remark\nvar long = 1;\n", "var a=1;"),
            ("function first(one, two) { return one / two / 2; }", "function c(a,b){return a/b/2}"),
            ("var s = 'a // b', t = \"it's \\\" x\";", "var a='a // b',b=\"it's \\\" x\";"),
            ("var r = /[/'\"]\\/ x/gi.test(text);", "var a=/[/'\"]\\/ x/gi.test(text);"),
            ("var x = { x: x, y: x.x };", "var a={x:a,y:a.x};"),
            ("var x = y ? x : 1;", "var a=y?a:1;"),
            ("var a = z, b;\nb = a + +a;\n", "var a=z,b;b=a+ +a;"),
            ("try { go() } catch (error) { typeof error }", "try{go()}catch(a){typeof a}"),
            ("var b = a;", "var b=a;"),
            ("go()\nstay()", "go()\nstay()"),
            ("for (var index in list) list[index]++;", "for(var a in list)list[a]++;"),
        ] {
            assert_eq!(pack(source), expected, "{source}");
        }
    }
}
