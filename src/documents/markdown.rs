//! The tables of a text as they must be to be read in a narrow window and aloud: every cell says what it is, and roles
//! keep the table a table where the style shows it as a list.

use std::collections::VecDeque;

use pulldown_cmark::{Alignment, Event, Tag, TagEnd};

/// Writes the tables among `events` out; everything else passes.
pub(super) fn with_readable_tables<'a>(
    events: impl Iterator<Item = Event<'a>>,
) -> impl Iterator<Item = Event<'a>> {
    let mut tables = Tables::default();
    let mut events = events;
    let mut ready = VecDeque::new();
    std::iter::from_fn(move || {
        while ready.is_empty() {
            tables.take(events.next()?, &mut ready);
        }
        ready.pop_front()
    })
}

/// Where in a table the events are.
#[derive(Default)]
struct Tables {
    alignments: Vec<Alignment>,
    headings: Vec<String>,
    column: usize,
    is_head: bool,
}

impl Tables {
    fn take<'a>(&mut self, event: Event<'a>, out: &mut VecDeque<Event<'a>>) {
        let markup = match &event {
            Event::Start(Tag::Table(alignments)) => {
                self.alignments.clone_from(alignments);
                self.headings.clear();
                "\n<div class=\"scroll stack\"><table role=\"table\">".to_owned()
            }
            Event::Start(Tag::TableHead) => {
                (self.is_head, self.column) = (true, 0);
                "<thead role=\"rowgroup\"><tr role=\"row\">".to_owned()
            }
            Event::End(TagEnd::TableHead) => {
                self.is_head = false;
                "</tr></thead><tbody role=\"rowgroup\">\n".to_owned()
            }
            Event::Start(Tag::TableRow) => {
                self.column = 0;
                "<tr role=\"row\">".to_owned()
            }
            Event::End(TagEnd::TableRow) => "</tr>\n".to_owned(),
            Event::Start(Tag::TableCell) => self.cell(),
            Event::End(TagEnd::TableCell) => {
                self.column += 1;
                if self.is_head { "</th>".to_owned() } else { "</td>".to_owned() }
            }
            Event::End(TagEnd::Table) => "</tbody></table></div>\n".to_owned(),
            _ => {
                self.note(&event);
                return out.push_back(event);
            }
        };
        out.push_back(Event::Html(markup.into()));
    }

    fn cell(&mut self) -> String {
        let align = match self.alignments.get(self.column) {
            Some(Alignment::Right) => " align=\"right\"",
            Some(Alignment::Center) => " align=\"center\"",
            Some(Alignment::Left | Alignment::None) | None => "",
        };
        if self.is_head {
            self.headings.push(String::new());
            return format!("<th scope=\"col\" role=\"columnheader\"{align}>");
        }
        let heading = self.headings.get(self.column).map(|text| text.trim()).unwrap_or_default();
        let label = heading.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        format!("<td role=\"cell\" data-label=\"{label}\"{align}>")
    }

    /// What a heading says, for the cells below it.
    fn note(&mut self, event: &Event<'_>) {
        if let (true, Event::Text(text) | Event::Code(text), Some(heading)) =
            (self.is_head, event, self.headings.last_mut())
        {
            heading.push_str(text);
        }
    }
}
