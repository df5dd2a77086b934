use std::time::Duration;

use super::*;

const DAY: i64 = 86_400;

fn on(observed: &Observed, day: i64) {
    observed.note_time(Timestamp::from_second(day * DAY).unwrap());
}

fn days(thousand: u64) -> Option<Lifetime> {
    Some(Lifetime::rounded(Duration::from_secs(thousand * 86_400)))
}

fn names<'a>(seen: impl Iterator<Item = Seen<'a>>) -> Vec<(&'a str, Day, Day)> {
    seen.map(|seen| (seen.name, seen.first, seen.last)).collect()
}

#[test]
fn the_first_and_the_last_day_are_kept_and_only_news_changes_the_generation() {
    let observed = Observed::default();
    assert_eq!(observed.generation(), 0);
    on(&observed, 100);
    observed.saw_service("matomo");
    let first = observed.generation();
    assert_ne!(first, 0);
    observed.saw_service("matomo");
    on(&observed, 103);
    observed.saw_service("matomo");
    assert_eq!(observed.generation(), first, "a service seen again is no news");
    assert_eq!(names(observed.snapshot().services()), [("matomo", 100, 103)]);
    observed.saw_cookie("cart", || days(30));
    assert_ne!(observed.generation(), first);
}

#[test]
fn a_cookie_keeps_the_longest_life_it_was_given() {
    let observed = Observed::default();
    for (day, life) in [(1, days(30)), (2, days(3)), (3, Some(Lifetime::Session)), (4, None), (5, days(365))]
    {
        on(&observed, day);
        observed.saw_cookie("cart", || life);
    }
    let snapshot = observed.snapshot();
    let cookie = snapshot.cookies().next().unwrap();
    assert_eq!((cookie.lifetime, cookie.first, cookie.last), (days(365), 1, 5));
}

#[test]
fn the_life_of_a_known_cookie_is_asked_for_once_a_day() {
    let observed = Observed::default();
    on(&observed, 1);
    observed.saw_cookie("cart", || days(1));
    observed.saw_cookie("cart", || panic!("it was seen today"));
}

#[test]
fn no_kind_grows_without_end() {
    let observed = Observed::default();
    for number in 0..2_000 {
        let letters: String = format!("{number:04}").bytes().map(|digit| char::from(digit + 50)).collect();
        observed.saw_host(&format!("{letters}.example"));
        observed.saw_cookie(&letters, || None);
        observed.saw_service(&letters);
    }
    let snapshot = observed.snapshot();
    assert_eq!(
        [snapshot.hosts().count(), snapshot.cookies().count(), snapshot.services().count()],
        [MOST, MOST, MOST]
    );
}

#[test]
fn only_hosts_are_taken_for_hosts() {
    let observed = Observed::default();
    for host in ["cdn.example", "[::1]:80", "localhost", "", "a b.example", "<script>.example", "inline"] {
        observed.saw_host(host);
    }
    assert_eq!(
        observed.snapshot().hosts().map(|seen| seen.name.to_owned()).collect::<Vec<_>>(),
        ["[::1]:80", "cdn.example"]
    );
}

#[test]
fn what_was_seen_outlives_the_process_and_two_of_them_lose_nothing_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("observed.json");
    let (one, two) = (Observed::default(), Observed::default());
    let store = Store::new(Some(file.clone()));
    store.adopt([("shop", &one)]);
    on(&one, 100);
    on(&two, 101);
    one.saw_cookie("cart", || days(30));
    two.saw_service("matomo");
    two.saw_cookie("cart", || Some(Lifetime::Session));
    store.save([("shop", &one)], 101);
    Store::new(Some(file.clone())).save([("shop", &two), ("blog", &Observed::default())], 101);

    let again = Observed::default();
    Store::new(Some(file.clone())).adopt([("shop", &again)]);
    let snapshot = again.snapshot();
    assert_eq!(names(snapshot.cookies()), [("cart", 100, 101)]);
    assert_eq!(snapshot.cookies().next().unwrap().lifetime, days(30));
    assert_eq!(names(snapshot.services()), [("matomo", 101, 101)]);
    assert_eq!(Store::new(Some(file)).saved()["shop"].generation(), again.generation());
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["observed.json"], "nothing half written is left");
}

#[test]
fn a_file_that_is_broken_or_cannot_be_written_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("observed.json");
    for broken in [
        "",
        "{",
        "[]",
        "{\"sites\":{\"shop\":7}}",
        "{\"sites\":{\"shop\":{\"cookies\":{\"\":{\"first\":9,\"last\":1}}}}}",
    ] {
        std::fs::write(&file, broken).unwrap();
        let observed = Observed::default();
        let store = Store::new(Some(file.clone()));
        store.adopt([("shop", &observed)]);
        assert_eq!(observed.generation(), 0, "{broken}");
        observed.saw_service("matomo");
        store.save([("shop", &observed)], 0);
        assert_eq!(Store::new(Some(file.clone())).saved()["shop"].services().count(), 1, "{broken}");
    }
    let observed = Observed::default();
    let nowhere = Store::new(Some(folder.path().join("no/such/folder/observed.json")));
    observed.saw_service("matomo");
    nowhere.save([("shop", &observed)], 0);
    assert!(observed.has_changed.load(Ordering::Relaxed), "it is tried again");
}

#[test]
fn what_is_not_seen_for_long_is_forgotten_in_memory_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(Some(folder.path().join("observed.json")));
    let observed = Observed::default();
    on(&observed, 100);
    observed.saw_service("matomo");
    store.save([("shop", &observed)], 100);
    on(&observed, 100 + i64::from(FORGOTTEN_AFTER) + 1);
    observed.saw_cookie("cart", || None);
    store.save([("shop", &observed)], 101 + FORGOTTEN_AFTER);
    for snapshot in [observed.snapshot(), Arc::clone(&store.saved()["shop"])] {
        assert_eq!((snapshot.services().count(), snapshot.cookies().count()), (0, 1));
    }
}

#[test]
fn many_threads_lose_nothing() {
    let observed = Observed::default();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let observed = &observed;
            scope.spawn(move || {
                for letter in b'a'..=b'z' {
                    observed.saw_service(&format!("{}{}", char::from(b'a' + thread), char::from(letter)));
                }
            });
        }
    });
    assert_eq!(observed.snapshot().services().count(), 4 * 26);
}
