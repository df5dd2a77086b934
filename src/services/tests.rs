//! The built-in catalogue, held against what a catalogue must be.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::consent::Category;

fn services() -> Vec<&'static Service> {
    written::builtin().unwrap_or_else(|fault| panic!("{fault}"));
    Catalogue::builtin().iter().collect()
}

#[test]
fn a_provider_in_the_catalogue_is_a_name_or_one_of_the_two_that_are_said_in_words() {
    for service in Catalogue::builtin().iter().filter(|service| service.provider.starts_with("The ")) {
        let is_name = service.provider.contains(['.'])
            || service.provider.ends_with("Ltd")
            || service.provider.ends_with("LLC");
        let is_said = [Service::PROVIDED_BY_SITE, Service::PROVIDED_BY_SERVER].contains(&&*service.provider);
        assert!(is_name || is_said, "{}: {}", service.id, service.provider);
    }
}

#[test]
fn the_catalogue_knows_more_than_three_hundred_services() {
    let services = services();
    assert!(services.len() >= 300, "{}", services.len());
    let cookies: usize = services.iter().map(|service| service.cookies.len()).sum();
    assert!(cookies >= 400, "{cookies}");
}

#[test]
fn every_entry_is_whole() {
    let mut ids = HashSet::new();
    for service in services() {
        let id = &*service.id;
        assert!(ids.insert(id), "{id} twice");
        assert!(id.parse::<Category>().is_err(), "{id} is a category");
        assert!(
            id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{id}"
        );
        for text in [&service.name, &service.provider, &service.purpose.en, &service.purpose.sv] {
            assert!(!text.trim().is_empty(), "{id}");
        }
        assert!(service.country.is_empty() || service.country.len() == 2, "{id}");
        assert!(!service.urls.is_empty(), "{id} cannot be known by an address");
        assert!(service.inline.iter().all(|text| text.is_ascii() && text.len() > 3), "{id}");
        let is_strict = service.category != Category::Necessary || !service.reason.en.is_empty();
        assert!(is_strict || service.role == Role::ConsentTool, "{id} is necessary and does not say why");
        assert_eq!(service.reason.en.is_empty(), service.reason.sv.is_empty(), "{id}");
        if service.dead_since.is_some() {
            assert_eq!(service.default, Rule::STRIP, "{id}");
        }
    }
}

// COMPLIANCE C28: the catalogue calls few things necessary, says why, and none of them keeps anything for long.
#[test]
fn c28_what_is_called_necessary_is_a_short_list_with_reasons_in_both_languages() {
    let all = services();
    let necessary: Vec<_> = all.iter().filter(|service| service.category == Category::Necessary).collect();
    let all = all.len();
    assert!(necessary.len() * 5 < all, "{} of {all}", necessary.len());
    for service in necessary.iter().filter(|service| service.role != Role::ConsentTool) {
        for reason in [&service.reason.en, &service.reason.sv] {
            assert!(reason.split_whitespace().count() >= 5, "{}: {reason}", service.id);
        }
    }
}

#[test]
fn no_pattern_claims_what_another_service_claims() {
    let mut urls = HashMap::new();
    let mut inline = HashMap::new();
    for service in services() {
        for pattern in &service.urls {
            assert_eq!(pattern.host.to_lowercase(), *pattern.host, "{}", service.id);
            if let Some(other) = urls.insert(pattern, &service.id) {
                panic!("{pattern:?}: {} and {other}", service.id);
            }
        }
        for text in &service.inline {
            if let Some(other) = inline.insert(text, &service.id) {
                panic!("{text}: {} and {other}", service.id);
            }
        }
    }
}

#[test]
fn a_cookie_is_set_by_one_service() {
    let mut seen: Vec<(&NamePattern, &str)> = Vec::new();
    for service in services() {
        for CookieInfo { name, .. } in &service.cookies {
            // `*` alone, or one letter, would take cookies of the site itself.
            assert!(name.start.len() >= if name.whole { 2 } else { 3 }, "{}: {name}", service.id);
            for (other, id) in &seen {
                let overlaps = *id != &*service.id && name.whole && other.whole && name == *other
                    || *id != &*service.id && !name.whole && !other.whole && name.start == other.start;
                assert!(!overlaps, "{name}: {} and {id}", service.id);
            }
            seen.push((name, &service.id));
            assert_eq!(
                Catalogue::builtin().identify_cookie(&name.start).map(|found| &*found.id),
                Some(&*service.id),
                "{name}"
            );
        }
    }
}

#[test]
fn no_application_s_own_cookie_is_taken_for_a_trackers() {
    for name in [
        "PHPSESSID",
        "JSESSIONID",
        "ASP.NET_SessionId",
        "ASPSESSIONIDQQ",
        "connect.sid",
        "sessionid",
        "csrftoken",
        "laravel_session",
        "XSRF-TOKEN",
        "_session_id",
        "wordpress_logged_in_x",
        "wp-settings-1",
        "woocommerce_cart_hash",
        "wp_woocommerce_session_x",
        "cart",
        "lang",
        "locale",
        "theme",
        "frontend",
        "form_key",
        "SSESSabc",
        "fe_typo_user",
        "CMSSESSID",
        "symfony",
        "_csrf",
        "token",
        "auth",
        "remember_me",
        "user",
        "uid",
        "id",
        "currency",
        "AWSALB",
        "ARRAffinity",
        "BIGipServerpool",
        "cookie",
        "consentry",
        "_rails_session",
        "CAKEPHP",
        "django_language",
        "visits",
    ] {
        let found = Catalogue::builtin().identify_cookie(name).map(|service| &*service.id);
        assert_eq!(found, None, "{name}");
    }
}

#[test]
fn a_service_is_found_by_each_of_its_own_addresses() {
    for service in services() {
        for pattern in &service.urls {
            let host = pattern.host.replace('*', "www");
            let host = if &*pattern.host == "*" { "www.example.se" } else { &host };
            let address = format!("https://{host}{}", pattern.path);
            let found = Catalogue::builtin().identify_url(&address.parse().unwrap()).map(|found| &*found.id);
            assert_eq!(found, Some(&*service.id), "{address}");
        }
    }
}

#[test]
fn scripts_for_pages_are_safe_to_put_there() {
    for service in services() {
        let anonymize = service.anonymize.iter().filter_map(|means| means.script.as_deref());
        for script in
            anonymize.chain(service.calls.granted.as_deref()).chain(service.calls.refused.as_deref())
        {
            assert!(
                script.is_ascii() && !script.contains("</") && !script.contains("<!--"),
                "{}",
                service.id
            );
            for (open, _) in script.match_indices("'{") {
                let word = script[open + 2..].split('}').next().unwrap();
                let is_known = word.parse::<Category>().is_ok() || Catalogue::builtin().find(word).is_some();
                assert!(is_known, "{}: {word}", service.id);
            }
        }
    }
}

#[test]
fn embeds_are_marked_by_one_service_each() {
    let mut marks = HashMap::new();
    for service in services() {
        for mark in service.embed.iter().flat_map(|embed| &embed.marks) {
            assert_eq!(marks.insert(mark, &service.id), None, "{mark:?}");
        }
    }
}

#[test]
fn an_address_is_found_however_the_site_hides_it() {
    for (url, expected) in [
        ("https://smetrics.example.se/b/ss/acme/1/JS-2.22.0/s1?AQB=1", Some("adobe-analytics")),
        ("https://www.example.se/metrics/?id=GTM-AB12", Some("google-tag-manager")),
        ("https://www.example.se/metrics/?id=G-AB12&l=x", Some("google-analytics")),
        ("https://www.example.se/metrics/?v=1&id=G-AB12", None),
        ("https://www.example.se/product?id=G-12", None),
        ("https://www.example.se/x/g/collect?v=2&tid=G-1", Some("google-analytics")),
        ("https://www.example.se/cdn-cgi/zaraz/s.js?z=1", Some("cloudflare-zaraz")),
        ("https://www.example.se/js/piwik.js", Some("matomo")),
        ("https://connect.facebook.net/en_US/fbevents.js", Some("meta-pixel")),
        ("https://connect.facebook.net/en_US/sdk.js", Some("facebook-embeds")),
        ("https://www.facebook.com/plugins/page.php?href=x", Some("facebook-embeds")),
        ("https://www.paypal.com/tagmanager/pptm.js", Some("paypal-marketing")),
        ("https://www.paypal.com/sdk/js?client-id=x", Some("paypal")),
        ("https://cdn.shopify.com/s/files/1/x.png", Some("shopify-cdn")),
        ("https://www.google.com/search?q=x", None),
        // As they stand in pages.
        ("https://www.google-analytics.com/j/collect?v=1&_v=j101&t=pageview", Some("google-analytics")),
        ("https://bat.bing.com/action/0?ti=5283089&Ver=2", Some("microsoft-uet")),
        ("https://img.en25.com/i/elqCfg.min.js", Some("eloqua")),
        (
            "https://storage.googleapis.com/workbox-cdn/releases/6.5.4/workbox-sw.js",
            Some("google-hosted-libraries"),
        ),
        ("https://storage.googleapis.com/some-bucket/a.js", None),
        ("https://chat.kindlycdn.com/kindly-chat.js", Some("kindly")),
        ("https://nav.boost.ai/chatPanel/chatPanel.js", Some("boost-ai")),
        ("https://account.psplugin.com/83BD7664/ps.js", Some("puzzel")),
        ("https://cdn.elev.io/sdk/bootloader/v4/elevio-bootloader.js?cid=1", Some("elevio")),
        ("https://halc.iadvize.com/iadvize.js?sid=1&lang=fr", Some("iadvize")),
        ("https://salesiq.zohopublic.com/widget?wc=1", Some("zoho-salesiq")),
        ("https://static.lipscore.com/assets/no/lipscore-v1.js", Some("lipscore")),
        ("https://js.testfreaks.com/onpage/example.se/head.js", Some("testfreaks")),
        ("https://static.rekai.se/1234.js", Some("rekai")),
        ("https://cdn.monsido.com/tool/javascripts/monsido.js", Some("monsido")),
        ("https://customer.cludo.com/scripts/bundles/search-script.min.js", Some("cludo")),
        ("https://cdn.userreport.com/userreport.js", Some("userreport")),
        ("https://pixel.byspotify.com/ping.min.js", Some("spotify-pixel")),
        ("https://s.yimg.com/wi/ytc.js", Some("yahoo-ads")),
        ("https://s.yimg.com/a/picture.png", None),
        ("https://tags.srv.stackadapt.com/events.js", Some("stackadapt")),
        ("https://cdn.callrail.com/companies/1/2/12/swap.js", Some("callrail")),
        ("https://cdn.permutive.com/1-web.js", Some("permutive")),
        ("https://cdn.pendo.io/agent/static/1/pendo.js", Some("pendo")),
        ("https://fast.appcues.com/1.js", Some("appcues")),
        ("https://esprit01.webtrekk.net/1/wt", Some("mapp-intelligence")),
        ("https://lwadm.com/lw/pbjs?pid=1", Some("livewrapped")),
        ("https://cdn.brandmetrics.com/tag/1/example.js", Some("brand-metrics")),
        ("https://analytics.freespee.com/js/external/fs.js", Some("freespee")),
        ("https://wm.wiredminds.de/track/count.js", Some("wiredminds")),
        (
            "https://mktdplp102cdn.azureedge.net/public/latest/js/form-loader.js",
            Some("dynamics-365-marketing"),
        ),
    ] {
        let found = Catalogue::builtin().identify_url(&url.parse().unwrap()).map(|service| &*service.id);
        assert_eq!(found, expected, "{url}");
    }
}

/// The table of `docs/services.md`: who can be anonymized, and how.
fn table() -> String {
    let mut rows = String::from("| service | means |\n| --- | --- |\n");
    for service in services() {
        let Some(means) = &service.anonymize else { continue };
        let mut words = Vec::new();
        if means.script.is_some() || service.calls.refused.is_some() {
            words.push("a script before its own".to_owned());
        }
        words.extend(means.urls.iter().map(|change| match &change.to {
            Some(to) => {
                format!("`{}{}` becomes `{}{}`", change.from.host, change.from.path, to.host, to.path)
            }
            None => {
                let set: Vec<_> =
                    change.parameters.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
                format!("`{}{}` gets {}", change.from.host, change.from.path, set.join(", "))
            }
        }));
        words.extend(
            means.attributes.iter().map(|(name, value)| format!("its element gets `{name}={value}`")),
        );
        if words.is_empty() {
            words.push("it keeps no identifiers as it is".to_owned());
        }
        rows.push_str(&format!("| `{}` | {} |\n", service.id, words.join("; ")));
    }
    rows
}

#[test]
fn the_list_of_services_that_can_be_anonymized_is_true() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/services.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once("<!-- table -->\n").unwrap();
    let (written, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var_os("CONSENTRY_BLESS").is_some() {
        std::fs::write(&path, format!("{before}<!-- table -->\n{}<!-- end -->{after}", table())).unwrap();
        return;
    }
    assert_eq!(written, table());
}

#[test]
fn consent_tools_of_others_are_known_by_what_sites_load_of_them() {
    let catalogue = Catalogue::builtin();
    for (address, id) in [
        ("https://consent.cookiebot.com/uc.js", "cookiebot"),
        ("https://cdn.cookielaw.org/scripttemplates/otSDKStub.js", "onetrust"),
        ("https://app.usercentrics.eu/browser-ui/latest/loader.js", "usercentrics"),
        ("https://sdk.privacy-center.org/x/loader.js", "didomi"),
        ("https://cmp.inmobi.com/choice/x/www.example.se/choice.js", "quantcast-choice"),
        ("https://consent.trustarc.com/notice?domain=example.se", "trustarc"),
        ("https://cdn-cookieyes.com/client_data/x/script.js", "cookieyes"),
        (
            "https://shop.example/wp-content/plugins/complianz-gdpr/cookiebanner/js/complianz.min.js",
            "complianz",
        ),
        ("https://cdn.iubenda.com/cs/iubenda_cs.js", "iubenda"),
        ("https://cmp.osano.com/x/y/osano.js", "osano"),
        (
            "https://shop.example/wp-content/plugins/borlabs-cookie/assets/javascript/borlabs-cookie.min.js",
            "borlabs-cookie",
        ),
        ("https://cdn.kiprotect.com/klaro/v0.7/klaro.js", "klaro"),
        (
            "https://cdn.jsdelivr.net/gh/orestbida/cookieconsent@3.0.1/dist/cookieconsent.umd.js",
            "orestbida-cookieconsent",
        ),
        ("https://cdn.privacy-mgmt.com/unified/wrapperMessagingWithoutDetection.js", "sourcepoint"),
        ("https://static.axept.io/sdk.js", "axeptio"),
        ("https://cdn.cookiehub.eu/c2/1.js", "cookiehub"),
        ("https://cdn.cookie-script.com/s/1.js", "cookie-script"),
        ("https://shop.example/js/tarteaucitron/tarteaucitron.js", "tarteaucitron"),
    ] {
        let found = catalogue.identify_url(&address.parse().unwrap());
        assert_eq!(
            found.map(|service| (&*service.id, service.role)),
            Some((id, Role::ConsentTool)),
            "{address}"
        );
    }
}
