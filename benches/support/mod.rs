//! What the benchmarks share: pages as shops have them, and the example site.

#![expect(unreachable_pub, reason = "it is for the benchmarks beside it")]

use std::path::Path;
use std::sync::Arc;

use consentry::config::{self, FirstStart};
use consentry::site::Site;

/// The sizes of the pages, in KiB.
pub const SIZES: [usize; 3] = [4, 30, 200];

/// A page of about `kib` KiB: a head with trackers, then rows of a table.
pub fn page(kib: usize) -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"sv\">\n<head>\n<meta charset=\"utf-8\">\n<title>Bilder</title>\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n\
         <script async src=\"https://www.googletagmanager.com/gtag/js?id=G-XXXXXXX\"></script>\n\
         <script>\nwindow.dataLayer = window.dataLayer || [];\nfunction gtag(){dataLayer.push(arguments);}\n\
         gtag('js', new Date());\ngtag('config', 'G-XXXXXXX');\n</script>\n</head>\n<body>\n<table>\n",
    );
    for row in 1.. {
        if page.len() + 300 > kib * 1024 {
            break;
        }
        page.push_str(&format!(
            "<tr class=\"row\"><td><a href=\"/bild?id={row}\"><img src=\"/bilder/{row}.png\" width=\"240\" \
             height=\"160\" alt=\"Bild {row}\"></a></td><td><b>Bild nummer {row}</b><br>Ett motiv från Öland</td>\
             <td align=\"right\">{} kr</td></tr>\n",
            row * 10
        ));
    }
    page + "</table>\n<script src=\"/shop.js\"></script>\n</body>\n</html>\n"
}

/// The only site of `config/`, the working example.
pub fn example_site() -> Arc<Site> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/consentry.yaml");
    let loaded = config::load(&path, FirstStart::ReadOnly).expect("the example is without errors");
    Arc::clone(loaded.settings.sites.find("www.example.se").expect("the example has a site for every host"))
}
