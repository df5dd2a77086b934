//! What becomes of the addresses of a service that runs without identifiers.

use url::Url;

use super::UrlPattern;

/// A change of addresses: another host and path, or parameters that ask for privacy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlChange {
    /// Which addresses it changes.
    pub from: UrlPattern,
    /// What they begin with instead; none: they stay where they are.
    pub to: Option<UrlPattern>,
    /// What is set in their query.
    pub parameters: Vec<(Box<str>, Box<str>)>,
}

impl UrlChange {
    /// The address as it is to be; none where this change is not about it.
    pub fn apply(&self, url: &Url) -> Option<Url> {
        let mut changed = url.clone();
        if let Some(to) = self.to.as_ref().filter(|to| !to.covers(url)) {
            let rest = self.from.rest(url)?;
            let (path, query) =
                rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
            let path = format!("{}{path}", to.path);
            changed.set_host(Some(&to.host)).ok()?;
            changed.set_path(&path);
            changed.set_query(query);
        } else if self.to.is_none() && !self.from.covers(url) {
            return None;
        }
        for (name, value) in &self.parameters {
            set(&mut changed, name, value);
        }
        Some(changed)
    }
}

/// Sets a parameter and leaves the others as they are written.
fn set(url: &mut Url, name: &str, value: &str) {
    let is_other = |pair: &&str| pair.split('=').next() != Some(name);
    let query = url.query().unwrap_or_default();
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).filter(is_other).collect();
    let own = format!("{name}={value}");
    pairs.push(&own);
    let query = pairs.join("&");
    url.set_query(Some(&query));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: &str, to: Option<&str>, parameters: &[(&str, &str)]) -> UrlChange {
        UrlChange {
            from: UrlPattern::parse(from).unwrap(),
            to: to.map(|to| UrlPattern::parse(to).unwrap()),
            parameters: parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }

    #[test]
    fn an_address_moves_with_all_that_it_asks_for() {
        let youtube = change("*.youtube.com/embed/", Some("www.youtube-nocookie.com/embed/"), &[]);
        let vimeo = change("player.vimeo.com/video/", None, &[("dnt", "1")]);
        for (change, url, expected) in [
            (
                &youtube,
                "https://www.youtube.com/embed/x?start=3#t",
                Some("https://www.youtube-nocookie.com/embed/x?start=3#t"),
            ),
            (&youtube, "http://youtube.com/embed/x", Some("http://www.youtube-nocookie.com/embed/x")),
            (
                &youtube,
                "https://www.youtube-nocookie.com/embed/x",
                Some("https://www.youtube-nocookie.com/embed/x"),
            ),
            (&youtube, "https://www.youtube.com/iframe_api", None),
            (&vimeo, "https://player.vimeo.com/video/1", Some("https://player.vimeo.com/video/1?dnt=1")),
            (
                &vimeo,
                "https://player.vimeo.com/video/1?dnt=0&h=a%20b&dnt",
                Some("https://player.vimeo.com/video/1?h=a%20b&dnt=1"),
            ),
            (&vimeo, "https://player.vimeo.com/api/player.js", None),
        ] {
            let url: Url = url.parse().unwrap();
            let changed = change.apply(&url);
            assert_eq!(changed.as_ref().map(Url::as_str), expected, "{url}");
            if let Some(changed) = changed {
                assert_eq!(change.apply(&changed).as_ref(), Some(&changed), "twice");
            }
        }
    }
}
