//! Where a provider shows on a page of its own what a site embeds: the plain link of a placeholder. Pure.

use url::Url;

/// The address to open instead of an embed's; the embed's own where no better one is known.
pub(super) fn of(embed: &Url) -> Url {
    page(embed).and_then(|page| page.parse().ok()).filter(is_web).unwrap_or_else(|| embed.clone())
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn page(embed: &Url) -> Option<String> {
    let host = embed.host_str()?;
    let host = host.strip_prefix("www.").unwrap_or(host);
    let path = embed.path();
    match host {
        "youtube.com" | "youtube-nocookie.com" => youtube(embed),
        "player.vimeo.com" => path.strip_prefix("/video/").map(|id| format!("https://vimeo.com/{id}")),
        "dailymotion.com" => {
            path.strip_prefix("/embed/video/").map(|id| format!("https://www.dailymotion.com/video/{id}"))
        }
        "geo.dailymotion.com" => {
            query(embed, "video").map(|id| format!("https://www.dailymotion.com/video/{}", word(&id)))
        }
        "open.spotify.com" => {
            path.strip_prefix("/embed/").map(|what| format!("https://open.spotify.com/{what}"))
        }
        "w.soundcloud.com" => query(embed, "url").filter(|url| !url.contains("api.soundcloud.com")),
        "facebook.com" if path.starts_with("/plugins/") => query(embed, "href"),
        "instagram.com" => path
            .find("/embed")
            .and_then(|end| path.get(..end))
            .map(|post| format!("https://www.instagram.com{post}/")),
        "tiktok.com" => ["/embed/v2/", "/embed/", "/player/v1/"].iter().find_map(|start| {
            let id = path.strip_prefix(start)?;
            Some(format!("https://www.tiktok.com/@/video/{id}"))
        }),
        "platform.twitter.com" => {
            query(embed, "id").map(|id| format!("https://x.com/i/status/{}", word(&id)))
        }
        "player.twitch.tv" => query(embed, "channel")
            .map(|channel| format!("https://www.twitch.tv/{}", word(&channel)))
            .or_else(|| {
                query(embed, "video").map(|id| format!("https://www.twitch.tv/videos/{}", word(&id)))
            }),
        _ => None,
    }
}

fn youtube(embed: &Url) -> Option<String> {
    let id =
        ["/embed/", "/v/", "/shorts/", "/live/"].iter().find_map(|start| embed.path().strip_prefix(start))?;
    if id == "videoseries" {
        let list = query(embed, "list")?;
        return Some(format!("https://www.youtube.com/playlist?list={}", word(&list)));
    }
    Some(format!("https://www.youtube.com/watch?v={}", word(id)))
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

/// An identifier, whatever came with it.
fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_leads_to_the_providers_own_page() {
        for (embed, expected) in [
            ("https://www.youtube.com/embed/abc_-1?rel=0", "https://www.youtube.com/watch?v=abc_-1"),
            ("https://www.youtube-nocookie.com/embed/abc", "https://www.youtube.com/watch?v=abc"),
            ("http://www.youtube.com/v/abc&hl=en", "https://www.youtube.com/watch?v=abc"),
            (
                "https://www.youtube.com/embed/videoseries?list=PL1",
                "https://www.youtube.com/playlist?list=PL1",
            ),
            ("https://player.vimeo.com/video/12?h=a", "https://vimeo.com/12"),
            ("https://www.dailymotion.com/embed/video/x1", "https://www.dailymotion.com/video/x1"),
            ("https://open.spotify.com/embed/album/1", "https://open.spotify.com/album/1"),
            (
                "https://w.soundcloud.com/player/?url=https%3A//soundcloud.com/a/b",
                "https://soundcloud.com/a/b",
            ),
            (
                "https://www.facebook.com/plugins/post.php?href=https%3A%2F%2Fwww.facebook.com%2Fa%2Fposts%2F1",
                "https://www.facebook.com/a/posts/1",
            ),
            ("https://www.instagram.com/p/A1/embed/captioned", "https://www.instagram.com/p/A1/"),
            ("https://www.tiktok.com/embed/v2/12", "https://www.tiktok.com/@/video/12"),
            ("https://player.twitch.tv/?channel=a&parent=b", "https://www.twitch.tv/a"),
            ("https://www.google.com/maps/embed?pb=1", "https://www.google.com/maps/embed?pb=1"),
        ] {
            assert_eq!(of(&embed.parse().unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn a_link_never_leads_into_a_script() {
        for embed in [
            "https://www.facebook.com/plugins/post.php?href=javascript:alert(1)",
            "https://w.soundcloud.com/player/?url=data:text/html,x",
            "https://www.facebook.com/plugins/post.php?href=",
        ] {
            let url: Url = embed.parse().unwrap();
            assert_eq!(of(&url), url);
        }
    }
}
