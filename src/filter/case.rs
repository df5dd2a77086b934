//! One answer for one visitor: its headers, filtered with all that is known of the site and the visit.

use std::cell::OnceCell;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap};
use http::{HeaderName, HeaderValue};

use super::caching::{self, Epoch, Revalidated};
use super::encoding::Coding;
use super::headers::{self, Hint};
use super::judge::{Judgement, judge};
use super::own_csp;
use super::page::{self, Address};
use super::scope::{self, Scope};
use super::{Settings, cookies, expire, html};
use crate::consent::Granted;
use crate::visit::Visit;

const SPECULATION_RULES: HeaderName = HeaderName::from_static("speculation-rules");

/// What all filters of one answer ask.
pub(super) struct Case<'a> {
    settings: &'a Settings,
    visit: &'a Visit,
    // Made where they are asked for: most answers are no pages.
    scope: OnceCell<Arc<Scope>>,
    inserts: OnceCell<html::Inserts>,
    /// The page's own.
    address: OnceCell<Address>,
}

/// The fate of a cookie of this name, on a request or an answer of this visit.
pub(super) fn fate<'a>(settings: &'a Settings, visit: &Visit, name: &str) -> cookies::Fate<'a> {
    let identify = |name: &str| settings.services.identify_cookie(name);
    cookies::fate(&settings.cookies, &settings.services, &visit.granted, name, identify)
}

/// Whether a header is looked for in every answer; most have none of them.
fn is_filtered(name: &str) -> bool {
    matches!(
        name,
        "alt-svc" | "content-location" | "link" | "location" | "refresh" | "set-cookie" | "speculation-rules"
    )
}

impl<'a> Case<'a> {
    pub(super) fn new(settings: &'a Settings, visit: &'a Visit) -> Self {
        let (scope, inserts, address) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Case { settings, visit, scope, inserts, address }
    }

    fn scope(&self) -> &Arc<Scope> {
        self.scope.get_or_init(|| scope::of(self.settings, self.visit))
    }

    fn inserts(&self) -> &html::Inserts {
        self.inserts.get_or_init(|| page::inserts(self.settings, self.visit, &self.scope().guard))
    }

    fn address(&self) -> &Address {
        self.address.get_or_init(|| Address::of(self.visit))
    }

    /// Where the upstream lives, and where this visitor meets it.
    pub(super) fn origins(&self) -> headers::Origins<'_> {
        headers::Origins {
            upstream: &self.settings.upstream_origins,
            scheme: self.visit.arrival.scheme.as_str(),
            authority: &self.visit.arrival.authority,
        }
    }

    /// What every answer undergoes, page or not.
    pub(super) fn filter(&self, headers: &mut HeaderMap) {
        let visit = self.visit;
        // A worker obeys the policy of its own script, not that of the page (CSP 3, section 4.2.1).
        if visit.worker.is_some()
            && let Some(policy) = &self.scope().policy
        {
            policy.write(headers, visit.arrival.scheme);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        }
        if !headers.keys().any(|name| is_filtered(name.as_str())) {
            return;
        }
        cookies::observe(self.settings, headers, visit.arrival.now);
        cookies::filter_answer(headers, visit.arrival.now, |name| fate(self.settings, visit, name));
        headers::filter(headers, self.origins(), |hint, target| self.may(hint, target));
        if !visit.granted.is_all() {
            // They make the browser load whole pages in advance, where no policy of this page reaches.
            headers.remove(SPECULATION_RULES);
        }
    }

    /// Writes the headers of a document that passes as it is, and may load as a page can. No cache confirms it: what says
    /// so would not tell that it is none.
    pub(super) fn document(&self, headers: &mut HeaderMap) {
        if !self.visit.purpose.is_shown() {
            // It must not come out of a cache where it is shown, without what it obeys there.
            if headers.contains_key(CONTENT_TYPE) {
                caching::varies_by_destination(headers);
            }
            return;
        }
        headers.remove(ETAG);
        caching::rewritten(headers, || self.epoch(), Coding::Identity);
        if let Some(policy) = &self.scope().policy {
            policy.write_closed(headers, self.visit.arrival.scheme);
        }
    }

    /// Writes the headers of a rewritten answer, and says what the rewriter must know.
    pub(super) fn rewrite(mut self, headers: &mut HeaderMap, to: Coding) -> html::Page {
        let syntax = page::syntax(headers);
        headers::rewritten(headers, to);
        caching::rewritten(headers, || self.epoch(), to);
        let nonce = self.enforce(headers);
        expire::on_page(self.settings, self.visit, headers);
        let scope = Arc::clone(self.scope());
        html::Page {
            url: self.address().clone(),
            granted: self.visit.granted.clone(),
            syntax,
            inserts: self
                .inserts
                .take()
                .unwrap_or_else(|| page::inserts(self.settings, self.visit, &scope.guard)),
            embeds: Some(page::embeds(self.settings, self.visit)),
            nonce,
            scope,
        }
    }

    /// What the rewriter must know of a page that is only looked at: it is read as for somebody who agreed to nothing.
    pub(super) fn only_looked_at(self, headers: &HeaderMap) -> html::Page {
        html::Page {
            url: self.address().clone(),
            granted: Granted::default(),
            syntax: page::syntax(headers),
            inserts: html::Inserts::Nothing,
            embeds: None,
            nonce: None,
            scope: Arc::clone(self.scope()),
        }
    }

    /// Writes the headers of a 304 that confirms a rewritten page.
    pub(super) fn confirm(&self, headers: &mut HeaderMap, revalidated: &[Revalidated]) {
        caching::confirmed(headers, || self.epoch(), revalidated);
        self.enforce(headers);
        expire::on_page(self.settings, self.visit, headers);
    }

    /// The epoch of a page rewritten for this visit: whatever shapes it, other than the upstream's own bytes.
    pub(super) fn epoch(&self) -> Epoch {
        let inserts = match self.inserts() {
            html::Inserts::Nothing => "nothing".to_owned(),
            html::Inserts::Guard(_) => "guard".to_owned(),
            html::Inserts::Page { banner, undecided, language, presumed, signal, note, .. } => {
                // The banner lists what the site's traffic has shown.
                let shown = if *undecided { self.settings.observed.generation() } else { 0 };
                let note = note.as_ref().map(|note| &*note.document);
                format!("page {banner:?} {undecided} {language} {presumed} {signal:?} {shown} {note:?}")
            }
        };
        let scheme = self.visit.arrival.scheme;
        Epoch::of(&[
            // A new program may write the same page differently.
            env!("CARGO_PKG_VERSION").as_bytes(),
            &self.settings.epoch.to_be_bytes(),
            self.visit.arrival.scheme.as_str().as_bytes(),
            self.visit.arrival.authority.as_bytes(),
            inserts.as_bytes(),
            self.visit.once_here.embeds().map(|name| name.to_string()).collect::<String>().as_bytes(),
            self.scope().guard_source.as_bytes(),
            self.scope().policy.as_ref().map(|policy| &policy.digest(scheme)[..]).unwrap_or_default(),
        ])
    }

    /// Lets our own elements through the page's policies, and adds the one that holds what may not act.
    fn enforce(&self, headers: &mut HeaderMap) -> Option<Box<str>> {
        let nonce = own_csp::admit(headers, self.scope().inserted(self.inserts(), self.address()));
        if let Some(policy) = &self.scope().policy {
            policy.write(headers, self.visit.arrival.scheme);
        }
        nonce
    }

    /// Whether a hint of a `Link:` header may be followed.
    fn may(&self, hint: Hint, target: &str) -> bool {
        // What is no address leads nowhere.
        let Some(address) = self.address().join(target).ok().and_then(html::plain) else { return true };
        let Some(host) = address.host_str() else { return true };
        let services = &self.settings.services;
        let is_near = || Some(host) == self.address().host_str() || self.scope().may_connect(host);
        let unknown = || hint == Hint::Load || is_near();
        match hint {
            Hint::Connect => is_near(),
            Hint::Advance | Hint::Load => services.identify_url(&address).map_or_else(unknown, |service| {
                self.settings.observed.saw_service(&service.id);
                match judge(services, service, &self.visit.granted) {
                    Judgement::Allow | Judgement::Anonymize => true,
                    Judgement::Hold | Judgement::Strip => false,
                }
            }),
        }
    }
}
