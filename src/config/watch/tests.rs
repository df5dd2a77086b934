//! Real files in real folders: what counts as a change, and what does not.

use std::fs;
use std::os::unix::fs::symlink;

use notify::event::{AccessKind, CreateKind, DataChange, Flag, ModifyKind};
use notify::{EventKind, event::RenameMode};
use tempfile::TempDir;

use super::*;
use crate::config::seen::Fingerprint;

/// A folder whose own path has no link in it, as the system names it in events.
fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn seen(files: &[PathBuf]) -> Seen {
    let mut seen = Seen::default();
    files.iter().for_each(|file| seen.note(file, Fingerprint::of_file(file)));
    seen
}

async fn soon(watch: &mut Watch) {
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("no change was noticed");
}

/// A watch that has heard of itself.
async fn watch(seen: &Seen) -> Watch {
    let mut watch = Watch::start(seen);
    soon(&mut watch).await;
    assert!(watch.pending.is_none());
    watch
}

#[test]
fn only_what_the_settings_are_made_of_concerns_them() {
    let (_folder, root) = folder();
    fs::create_dir(root.join("sites")).unwrap();
    let mut seen = seen(&[root.join("consentry.yaml"), root.join("missing/folder/a.md")]);
    seen.note_folder(&root.join("sites"), "*.yaml");
    let told = Told { points: Mutex::new(Points::of(&seen)), ..Told::default() };
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let moved = EventKind::Modify(ModifyKind::Name(RenameMode::From));
    let concerns = |kind, name: &str| told.concerns(&Ok(Event::new(kind).add_path(root.join(name))));
    for (kind, name, expected) in [
        (written, "consentry.yaml", true),
        (written, "consentry.log", false),
        (EventKind::Access(AccessKind::Any), "consentry.yaml", false),
        (EventKind::Create(CreateKind::File), "sites/new.yaml", true),
        (EventKind::Create(CreateKind::File), "sites/new.yaml~", false),
        (EventKind::Create(CreateKind::Folder), "missing", true),
        (EventKind::Create(CreateKind::Folder), "other", false),
    ] {
        assert_eq!(concerns(kind, name), expected, "{kind:?} {name}");
    }
    assert!(told.gone().is_empty());
    assert!(concerns(moved, "sites") && told.gone().contains(&root.join("sites")));
    assert!(told.concerns(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))), "events were lost");
}

#[tokio::test]
async fn a_file_that_is_replaced_by_a_renamed_one_has_changed() {
    let (_folder, root) = folder();
    fs::write(root.join("a.yaml"), "1").unwrap();
    let mut watch = watch(&seen(&[root.join("a.yaml")])).await;
    fs::write(root.join(".a.yaml.new"), "2").unwrap();
    fs::rename(root.join(".a.yaml.new"), root.join("a.yaml")).unwrap();
    soon(&mut watch).await;
}

#[tokio::test]
async fn a_link_on_the_way_to_a_file_is_watched_as_kubernetes_swaps_it() {
    let (_folder, root) = folder();
    for version in ["v1", "v2"] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("a.yaml"), version).unwrap();
    }
    symlink("v1", root.join("..data")).unwrap();
    symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    let seen = seen(&[root.join("a.yaml")]);
    let mut watch = watch(&seen).await;
    symlink("v2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    soon(&mut watch).await;
    // From here on it leads to the other folder.
    watch.follow(&seen);
    soon(&mut watch).await;
    fs::write(root.join("v2/a.yaml"), "v3").unwrap();
    soon(&mut watch).await;
}

#[tokio::test]
async fn a_folder_that_is_exchanged_whole_is_watched_on() {
    let (_folder, root) = folder();
    for name in ["config", "next"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("a.yaml"), name).unwrap();
    }
    let seen = seen(&[root.join("config/a.yaml")]);
    let mut watch = watch(&seen).await;
    fs::rename(root.join("config"), root.join("before")).unwrap();
    fs::rename(root.join("next"), root.join("config")).unwrap();
    soon(&mut watch).await;
    watch.follow(&seen);
    // Of the folder that stands there now.
    soon(&mut watch).await;
    fs::write(root.join("config/a.yaml"), "again").unwrap();
    soon(&mut watch).await;
}

#[tokio::test]
async fn a_file_in_a_folder_that_is_not_there_yet_is_waited_for() {
    let (_folder, root) = folder();
    let seen = seen(&[root.join("new/folder/a.yaml")]);
    let mut watch = watch(&seen).await;
    fs::create_dir_all(root.join("new/folder")).unwrap();
    soon(&mut watch).await;
    watch.follow(&seen);
    soon(&mut watch).await;
    fs::write(root.join("new/folder/a.yaml"), "1").unwrap();
    soon(&mut watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_counts_when_nothing_follows_it_or_when_the_following_does_not_end() {
    let (_folder, root) = folder();
    let mut watch = watch(&seen(&[root.join("a.yaml")])).await;
    watch.told.bell.notify_one();
    let start = Instant::now();
    // Losing the future loses nothing.
    assert!(tokio::time::timeout(QUIET / 2, watch.changed()).await.is_err());
    watch.changed().await;
    assert_eq!(start.elapsed(), QUIET);

    let start = Instant::now();
    let told = Arc::clone(&watch.told);
    let restless = tokio::spawn(async move {
        for _ in 0..1_000 {
            told.bell.notify_one();
            tokio::time::sleep(QUIET / 2).await;
        }
    });
    watch.changed().await;
    assert!((PATIENCE..PATIENCE + QUIET).contains(&start.elapsed()), "{:?}", start.elapsed());
    restless.abort();
}

#[tokio::test(start_paused = true)]
async fn without_the_system_the_files_are_looked_at_from_time_to_time() {
    let mut watch = Watch::start(&Seen::default());
    watch.eyes = clock(&notify::Error::new(ErrorKind::MaxFilesWatch));
    let start = Instant::now();
    watch.changed().await;
    watch.changed().await;
    assert_eq!(start.elapsed(), 2 * EVERY);
}
