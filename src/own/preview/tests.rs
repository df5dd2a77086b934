use super::super::tests::{own, site};
use super::*;

async fn text(own: &Own, site: &Site, path: &str, query: &str) -> Option<String> {
    let (media_type, page) = answer(own, site, path, query).await?;
    assert!(media_type.starts_with("text/html"), "{path}");
    Some(String::from_utf8(page.to_vec()).unwrap())
}

#[tokio::test]
async fn every_state_is_shown_in_every_language_and_the_index_leads_to_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (own, site) = (own(folder.path()), site());
    let names: Vec<String> = states(&site).into_iter().map(|(name, _)| name).collect();
    for language in &site.filter.look.languages {
        let query = format!("lang={language}");
        let index = text(&own, &site, "/", &query).await.unwrap();
        for name in &names {
            assert!(index.contains(&format!("/state/{name}?lang={language}")), "{name}");
            let page = text(&own, &site, &format!("/state/{name}"), &query).await;
            assert!(page.is_some_and(|page| page.to_lowercase().contains("<!doctype html>")), "{name}");
        }
    }
}

#[tokio::test]
async fn a_state_is_what_its_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let (own, site) = (own(folder.path()), site());
    for (name, words) in [
        ("banner-opened", "<details open"),
        ("banner-under-a-signal", "Global Privacy Control"),
        ("note-privacy", "<consentry-note"),
        ("placeholders", "Load this one"),
        ("settings-undecided", "You have not chosen yet"),
        ("settings-refused", "You have rejected everything"),
        ("settings-agreed", "Receipt"),
        ("settings-under-a-signal", "Global Privacy Control"),
        ("receipt", "Receipt number"),
        ("receipts-erased", "have been erased"),
        ("document-privacy", "value=\"accept\""),
        ("document-privacy-after-yes", "You confirmed on"),
        ("document-privacy-after-no", "You have chosen not to go on"),
        ("document-privacy-with-a-form", "name=\"consentry_held\""),
        ("form-not-delivered", "name=\"consentry_held\""),
        ("message-nocookies", "<a href=\"/\""),
    ] {
        let page = text(&own, &site, &format!("/state/{name}"), "lang=en").await.unwrap();
        assert!(page.contains(words) || page.contains(&words.replace(' ', "&#32;")), "{name}: {page}");
    }
}

#[tokio::test]
async fn what_visitors_do_not_see_as_things_stand_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (own, mut site) = (own(folder.path()), site());
    let index = text(&own, &site, "/", "").await.unwrap();
    assert!(!index.contains("<strong>"), "{index}");
    for (banner, words) in [(Banner::Off, "shows no banner"), (Banner::NothingToAsk, "not filled in")] {
        std::sync::Arc::get_mut(&mut site.filter).unwrap().banner = banner;
        let index = text(&own, &site, "/", "").await.unwrap();
        assert!(index.contains(words), "{index}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (own, site) = (own(folder.path()), site());
    for path in ["/x", "/state/x", "/state/document-draft", "/_consent/assets/x.css", "/_consent/settings"] {
        assert!(answer(&own, &site, path, "").await.is_none(), "{path}");
    }
    let sheet = format!("/_consent/assets/{}", page::stylesheet_name());
    assert!(answer(&own, &site, &sheet, "").await.is_some());
}
