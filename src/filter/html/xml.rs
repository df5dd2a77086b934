//! A page that browsers read as XML, for a parser that reads HTML: that is given one tag at a time, with its end, and
//! nothing of what stands between them, so that it never reads on where XML has ended long ago. Which element ends where
//! is told here.

use encoding_rs::WINDOWS_1252;

use super::scripts::{self, Reading};
use super::skim::{self, Next, Reads, Tells};
use super::unjudged::Reason;
use super::{Failure, Rewriter, Syntax, address, embeds, insert, locked};

/// What the page is within.
#[derive(Default)]
pub(super) enum Inside {
    #[default]
    Markup,
    /// A script, or rules of style: its text is gathered up to its end tag.
    Code(Reading, Vec<u8>),
    /// What goes, up to the end of as many elements as are open; and whether the last end tag stays.
    Dropped(usize, LastTag),
}

/// The end tag of an element whose content goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LastTag {
    Stays,
    Goes,
}

impl Rewriter {
    /// Rewrites up to the end of the next tag, and says how much was read.
    pub(super) fn read_xml(&mut self, page: &[u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
        let (passes, next) = {
            let state = locked(&self.state);
            let ground = address::Ground::of(&state);
            let is_harmless = |address: &[u8]| ground.is_harmless(address);
            let marks = |known, word: &[u8]| embeds::is_mark(&state.settings.services, known, word).is_some();
            skim::skim(Syntax::Xml, &mut self.place, page, Tells::EveryTag, is_harmless, marks)
        };
        let (passing, rest) = page.split_at(passes);
        match &mut self.inside {
            Inside::Markup => out.extend_from_slice(passing),
            Inside::Code(_, text) => text.extend_from_slice(passing),
            Inside::Dropped(..) => {}
        }
        self.bound_code(out);
        let Next::Tag(length, reads) = next else { return Ok(passes) };
        let tag = rest.get(..length).unwrap_or(rest);
        let is_end = tag.starts_with(b"</");
        match std::mem::take(&mut self.inside) {
            Inside::Markup => self.xml_tag(tag, reads, out)?,
            Inside::Code(reading, mut text) if !is_element(tag) => {
                text.extend_from_slice(tag);
                self.inside = Inside::Code(reading, text);
            }
            Inside::Code(reading, text) if is_end => {
                self.put_code(reading, &text, skim::written_name(tag), out)?;
                out.extend_from_slice(tag);
            }
            // Browsers read the texts around an element within it as one: nobody writes that.
            Inside::Code(..) => {
                locked(&self.state).unjudged.note(Reason::UnreadableScript);
                let open = 1 + usize::from(!Syntax::Xml.is_empty(tag));
                self.inside = Inside::Dropped(open, LastTag::Stays);
            }
            Inside::Dropped(open, last) if !is_element(tag) => self.inside = Inside::Dropped(open, last),
            Inside::Dropped(1, last) if is_end => {
                if last == LastTag::Stays {
                    out.extend_from_slice(tag);
                }
            }
            Inside::Dropped(open, last) => {
                let open = match (is_end, Syntax::Xml.is_empty(tag)) {
                    (true, _) => open - 1,
                    (false, true) => open,
                    (false, false) => open + 1,
                };
                self.inside = Inside::Dropped(open, last);
            }
        }
        Ok(passes + tag.len())
    }

    /// Ends a page that ended within a script.
    pub(super) fn end_xml(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        match std::mem::take(&mut self.inside) {
            Inside::Code(reading, text) => self.put_code(reading, &text, b"script", out),
            Inside::Markup | Inside::Dropped(..) => Ok(()),
        }
    }

    fn xml_tag(&mut self, tag: &[u8], reads: Reads, out: &mut Vec<u8>) -> Result<(), Failure> {
        if tag.starts_with(b"<?") {
            return self.style_sheet(tag, out);
        }
        if tag.starts_with(b"<!") {
            self.insertion.heed_declarations(tag);
            out.extend_from_slice(tag);
            return Ok(());
        }
        let around =
            if self.insertion.is_done() { insert::Around::default() } else { self.insertion.around(tag) };
        if let Some(language) = self.insertion.language() {
            locked(&self.state).language.get_or_insert_with(|| language.clone());
        }
        self.insert(around, insert::Side::Before, out);
        match reads {
            // The parser would never leave it.
            Reads::Nothing | Reads::Rest => out.extend_from_slice(tag),
            Reads::Tag | Reads::Element(_) => self.judge_xml(tag, out)?,
        }
        self.insert(around, insert::Side::After, out);
        Ok(())
    }

    /// Gives the parser a start tag under its name without a prefix, and the end tag of that name, which does not stay.
    fn judge_xml(&mut self, tag: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let name = skim::written_name(tag);
        let prefix = name.iter().rposition(|byte| *byte == b':').map_or(0, |at| at + 1);
        let (prefix, local) = name.split_at(prefix);
        {
            let mut state = locked(&self.state);
            state.reading = Reading::Nothing;
            state.is_gone = false;
        }
        let from = out.len();
        self.feed(&[b"<", tag.get(1 + prefix.len()..).unwrap_or_default()].concat(), out)?;
        let end = [b"</", local, b">"].concat();
        self.feed(&end, out)?;
        if out.get(from..).is_some_and(|read| read.ends_with(&end)) {
            out.truncate(out.len() - end.len());
        }
        let (is_gone, reading) = {
            let mut state = locked(&self.state);
            (state.is_gone, std::mem::replace(&mut state.reading, Reading::Nothing))
        };
        let start = [b"<", local].concat();
        if !is_gone && let Some(at) = memchr::memmem::rfind(out.get(from..).unwrap_or_default(), &start) {
            out.splice(from + at + 1..from + at + 1, prefix.iter().copied());
        }
        if Syntax::Xml.is_empty(tag) {
            return Ok(());
        }
        self.inside = match reading {
            _ if is_gone => Inside::Dropped(1, LastTag::Goes),
            Reading::Script { .. } | Reading::Style => Inside::Code(reading, Vec::new()),
            Reading::Nothing | Reading::NoScript | Reading::Dropped => Inside::Markup,
        };
        Ok(())
    }

    /// An instruction to load a style sheet, which goes where a `link` of the same words would be held.
    fn style_sheet(&mut self, instruction: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let words = instruction.get("<?xml-stylesheet".len()..instruction.len() - "?>".len());
        let link = [b"<link rel=\"stylesheet\" ", words.unwrap_or_default(), b">"].concat();
        let mut judged = Vec::new();
        self.feed(&link, &mut judged)?;
        if judged == link {
            out.extend_from_slice(instruction);
        }
        Ok(())
    }

    /// Puts a text back; `name` is that of its element.
    fn put_code(
        &mut self,
        reading: Reading,
        text: &[u8],
        name: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let mut state = locked(&self.state);
        state.reading = reading;
        // A letter for every byte, as the parser reads it.
        let text = WINDOWS_1252.decode_without_bom_handling(text).0.into_owned();
        let put = scripts::put_back(&mut state, text.clone());
        state.reading = Reading::Nothing;
        let mut put = put?;
        if put != text {
            // A second element, which keeps what is held, has the name of the first.
            let name = String::from_utf8_lossy(name);
            let second = format!("</{name}><{name} type=\"text/plain\"");
            put = put.replace("</script><script type=\"text/plain\"", &second);
        }
        out.extend_from_slice(&WINDOWS_1252.encode(&put).0);
        Ok(())
    }

    /// A text that is longer than may be kept cannot be judged.
    fn bound_code(&mut self, out: &mut Vec<u8>) {
        let Inside::Code(_, text) = &mut self.inside else { return };
        let mut state = locked(&self.state);
        let limit = state.settings.html_token;
        if limit == 0 || text.len() <= limit {
            return;
        }
        if state.page.granted.is_all() {
            out.append(text);
            self.inside = Inside::Markup;
        } else {
            state.unjudged.note(Reason::TooLong);
            self.inside = Inside::Dropped(1, LastTag::Stays);
        }
    }
}

/// Whether it is the tag of an element, and no instruction.
fn is_element(tag: &[u8]) -> bool {
    !tag.starts_with(b"<?") && !tag.starts_with(b"<!")
}

/// Whether what a doctype declares can bring in an address or an element: references that the page makes its own, and
/// attributes that nobody wrote.
pub(super) fn declares(doctype: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'[', doctype) else { return false };
    let subset = doctype.get(at..).unwrap_or_default();
    let is_letter = |at: usize| {
        // A letter beyond ASCII makes neither.
        let digits = subset.get(at + 2..).unwrap_or_default();
        let (digits, radix) = match digits.strip_prefix(b"x") {
            Some(digits) => (digits, 16),
            None => (digits, 10),
        };
        let length = digits.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let digits = std::str::from_utf8(digits.get(..length).unwrap_or_default()).unwrap_or_default();
        subset.get(at + 1) == Some(&b'#')
            && u32::from_str_radix(digits, radix).is_ok_and(|letter| letter > 127)
    };
    memchr::memmem::find(subset, b"<!ATTLIST").is_some()
        || memchr::memchr(b'/', subset).is_some()
        || memchr::memchr_iter(b'&', subset).any(|at| !is_letter(at))
}
