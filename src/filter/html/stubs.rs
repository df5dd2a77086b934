//! Stubs for held services that the guard did not know the page to have: the page names them itself, before its own
//! scripts call them. From the next page on the guard has them.

use lol_html::html_content::ContentType;

use super::elements::Element;
use super::{Inserts, Page, State, scripts};
use crate::services::Service;
use crate::web::guard;

/// Whether a call of a held service is answered, if need be by a stub that the page asks for. A fragment comes into a
/// page that has a guard.
pub(super) fn are_there_for(page: &Page, service: &Service) -> bool {
    has_guard(page) || page.scope.has_stubs(service)
}

/// Whether a guard stands in the page itself.
pub(super) fn has_guard(page: &Page) -> bool {
    !matches!(page.inserts, Inserts::Nothing)
}

/// What must run before anything that calls these services, if anything.
pub(super) fn of<'s>(state: &mut State, services: impl IntoIterator<Item = &'s Service>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for service in services {
        if !has_guard(&state.page) || state.page.scope.has_stubs(service) {
            continue;
        }
        for name in guard::globals(service) {
            if !state.stubbed.iter().any(|known| **known == *name) {
                state.stubbed.push(name.into());
                names.push(name);
            }
        }
    }
    if names.is_empty() {
        return String::new();
    }
    guard::held(&names)
}

/// The same in an element of its own, before one whose script is held.
pub(super) fn before(state: &mut State, element: &mut Element<'_, '_>, service: &Service) {
    let text = of(state, [service]);
    if !text.is_empty() {
        element.before(&scripts::own("stubs", &text, &state.page), ContentType::Html);
    }
}
