//! One answer for one visitor: its headers, filtered with all that is known of the site and the visit.

use std::cell::OnceCell;
use std::sync::Arc;

use http::HeaderValue;
use http::header::{CACHE_CONTROL, HeaderMap};

use super::caching::{self, Epoch, Revalidated};
use super::encoding::Coding;
use super::headers::{self, Hint};
use super::judge::{Judgement, judge};
use super::own_csp;
use super::scope::{self, Scope};
use super::{Settings, cookies, expire, html, page};
use crate::consent::Granted;
use crate::visit::Visit;

/// What all filters of one answer ask.
pub(super) struct Case<'a> {
    settings: &'a Settings,
    visit: &'a Visit,
    scope: Arc<Scope>,
    inserts: html::Inserts,
    /// The page's own, read where it is asked for: most answers are no pages.
    address: OnceCell<url::Url>,
}

/// The fate of a cookie of this name, on a request or an answer of this visit.
pub(super) fn fate<'a>(settings: &'a Settings, visit: &Visit, name: &str) -> cookies::Fate<'a> {
    let identify = |name: &str| settings.services.identify_cookie(name);
    cookies::fate(&settings.cookies, &settings.services, &visit.granted, name, identify)
}

impl<'a> Case<'a> {
    pub(super) fn new(settings: &'a Settings, visit: &'a Visit) -> Self {
        let scope = scope::of(settings, visit);
        let inserts = page::inserts(settings, visit, &scope.guard);
        Case { settings, visit, scope, inserts, address: OnceCell::new() }
    }

    fn address(&self) -> &url::Url {
        self.address.get_or_init(|| page::address(self.visit))
    }

    /// What every answer undergoes, page or not.
    pub(super) fn filter(&self, headers: &mut HeaderMap) {
        let visit = self.visit;
        // A worker obeys the policy of its own script, not that of the page (CSP 3, section 4.2.1).
        if let Some(policy) = self.scope.policy.as_ref().filter(|_| visit.is_worker) {
            policy.write(headers, visit.arrival.scheme);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        }
        cookies::observe(self.settings, headers, visit.arrival.now);
        cookies::filter_answer(headers, visit.arrival.now, |name| fate(self.settings, visit, name));
        let origins = headers::Origins {
            upstream: &self.settings.upstream_origins,
            scheme: visit.arrival.scheme.as_str(),
            authority: &visit.arrival.authority,
        };
        headers::filter(headers, origins, |hint, target| self.may(hint, target));
        if !visit.granted.is_all() {
            // They make the browser load whole pages in advance, where no policy of this page reaches.
            headers.remove("speculation-rules");
        }
    }

    /// Writes the headers of a rewritten answer, and says what the rewriter must know.
    pub(super) fn rewrite(mut self, headers: &mut HeaderMap, to: Coding) -> html::Page {
        let is_xml = page::is_xml(headers);
        if is_xml {
            self.inserts = self.inserts.in_xml();
        }
        headers::rewritten(headers, to);
        caching::rewritten(headers, &self.epoch(), to);
        let nonce = self.enforce(headers);
        expire::on_page(self.settings, self.visit, headers);
        html::Page {
            url: self.address().clone(),
            granted: self.visit.granted.clone(),
            inserts: self.inserts,
            embeds: (!is_xml).then(|| page::embeds(self.settings, self.visit)),
            nonce,
            scope: self.scope,
        }
    }

    /// What the rewriter must know of a page that is only looked at: it is read as for somebody who agreed to nothing.
    pub(super) fn only_looked_at(self) -> html::Page {
        html::Page {
            url: self.address().clone(),
            granted: Granted::default(),
            inserts: html::Inserts::Nothing,
            embeds: None,
            nonce: None,
            scope: self.scope,
        }
    }

    /// Writes the headers of a 304 that confirms a rewritten page.
    pub(super) fn confirm(&self, headers: &mut HeaderMap, revalidated: &[Revalidated]) {
        caching::confirmed(headers, &self.epoch(), revalidated);
        self.enforce(headers);
        expire::on_page(self.settings, self.visit, headers);
    }

    /// The epoch of a page rewritten for this visit: whatever shapes it, other than the upstream's own bytes.
    pub(super) fn epoch(&self) -> Epoch {
        let inserts = match &self.inserts {
            html::Inserts::Nothing => "nothing".to_owned(),
            html::Inserts::Guard(_) => "guard".to_owned(),
            html::Inserts::Xml { banner, undecided, language, signal, .. } => {
                format!("xml {banner:?} {undecided} {language} {signal:?}")
            }
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
            self.scope.guard_source.as_bytes(),
            self.scope.policy.as_ref().map(|policy| &policy.digest(scheme)[..]).unwrap_or_default(),
        ])
    }

    /// Lets our own elements through the page's policies, and adds the one that holds what may not act.
    fn enforce(&self, headers: &mut HeaderMap) -> Option<Box<str>> {
        let nonce = own_csp::admit(headers, self.scope.inserted(&self.inserts, self.address()));
        if let Some(policy) = &self.scope.policy {
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
        let is_near = || Some(host) == self.address().host_str() || self.scope.may_connect(host);
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
