//! The demo's settings and documents, in a folder of their own that goes when the demo ends.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::super::scratch::Scratch;
use super::template;

/// What is written, by its place in the folder.
const FILES: [(&str, &str); 5] = [
    ("config/consentry.yaml", include_str!("config/consentry.yaml")),
    ("config/sites/shop.yaml", include_str!("config/sites/shop.yaml")),
    ("config/documents/shop/privacy.sv.md", include_str!("config/documents/shop/privacy.sv.md")),
    ("config/documents/shop/privacy.en.md", include_str!("config/documents/shop/privacy.en.md")),
    (
        "config/documents/shop/user-agreement.sv.md",
        include_str!("config/documents/shop/user-agreement.sv.md"),
    ),
];

/// A temporary folder with the demo's settings, removed when dropped.
#[derive(Debug)]
pub(super) struct Folder(Scratch);

impl Folder {
    /// Writes settings that listen on `listen` and stand in front of `shop`.
    pub(super) fn write(listen: SocketAddr, shop: SocketAddr) -> io::Result<Self> {
        let folder = Folder(Scratch::of("demo")?);
        let (listen, shop) = (listen.to_string(), shop.to_string());
        for (place, text) in FILES {
            let file = folder.root().join(place);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(file, template::fill(text, &[("listen", &listen), ("shop", &shop)]))?;
        }
        std::fs::create_dir(folder.root().join("data"))?;
        Ok(folder)
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    /// The file that `--config` takes.
    pub(super) fn settings(&self) -> PathBuf {
        self.root().join("config/consentry.yaml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Folder {
        Folder::write("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:3000".parse().unwrap()).unwrap()
    }

    #[test]
    fn every_name_in_the_settings_is_filled() {
        let folder = written();
        for (place, _) in FILES {
            let text = std::fs::read_to_string(folder.root().join(place)).unwrap();
            assert!(!text.contains("@@"), "{place}");
        }
        assert!(std::fs::read_to_string(folder.settings()).unwrap().contains("127.0.0.1:8080"));
    }

    #[test]
    fn the_documents_are_filled_in() {
        for (place, text) in FILES {
            assert!(!text.contains("[FILL IN"), "{place}");
        }
    }

    #[test]
    fn nothing_is_left_behind() {
        let folder = written();
        let root = folder.root().to_owned();
        drop(folder);
        assert!(!root.exists());
    }
}
