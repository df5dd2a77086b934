//! What hyper answers by itself where nothing that came can be read as a request, with a body that says so.

/// Which answers these are, and what is said with them. A request that could be read never gets one of them bare.
const SAID: [(&str, &str); 3] = [
    ("400 Bad Request", "What came is no HTTP that can be read.\n"),
    ("414 URI Too Long", "The address is longer than this server takes.\n"),
    ("431 Request Header Fields Too Large", "The head of the request is larger than this server takes.\n"),
];

/// The same answer with a body, if these bytes are one of hyper's own: nothing but the status, `connection: close`, no length and
/// a date.
pub(super) fn of(bytes: &[u8]) -> Option<Vec<u8>> {
    // Most of what is written ends the search here.
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?.strip_suffix(b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?;
    let (status, text) = SAID.iter().find(|(known, _)| known.strip_prefix('4') == Some(status))?;
    if (lines.next()?, lines.next()?) != ("connection: close", "content-length: 0") {
        return None;
    }
    let date = lines.next().filter(|line| line.starts_with("date: "))?;
    if lines.next().is_some() {
        return None;
    }
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\n{date}\r\n\r\n{text}"
    );
    Some(answer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_hypers_own_gets_a_body_and_no_other_does() {
        let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Tue, 01 Dec 2026 12:00:00 GMT\r\n\r\n";
        let said = String::from_utf8(of(bare.as_bytes()).unwrap()).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{said}");
        for other in [
            &bare.replace("400 Bad Request", "404 Not Found"),
            &bare.replace("connection: close\r\n", ""),
            &bare.replace("date:", "x: y\r\ndate:"),
            &bare.replace("\r\n\r\n", "\r\nx: y\r\n\r\n"),
            &bare.replace("length: 0", "length: 1"),
            &format!("{bare}x"),
            &bare.replace("\r\n\r\n", "\r\n"),
        ] {
            assert_eq!(of(other.as_bytes()), None, "{other}");
        }
    }
}
