use super::*;

fn args(extra: &[&str]) -> Args {
    #[derive(clap::Parser)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }
    let base = ["init", "shop", "--host", "shop.example", "--upstream", "http://127.0.0.1:3000"];
    <Alone as clap::Parser>::parse_from(base.iter().chain(extra)).args
}

fn in_folder(folder: &Path, args: &Args) -> anyhow::Result<String> {
    init(args, &folder.join("consentry.yaml"))
}

const ALL: [&str; 16] = [
    "--controller",
    "Byrån: \"AB\" # & söner",
    "--organisation-number",
    "556000-0000",
    "--address",
    "Storgatan 1",
    "--email",
    "a@byran.example",
    "--processor",
    "Värden AB",
    "--session-cookie",
    "PHPSESSID",
    "--host",
    "*.shop.example",
    "--languages",
    "sv,en,de",
];

#[test]
fn what_it_writes_passes_check_and_says_what_is_not_filled_in() {
    for extra in [&[][..], &ALL] {
        let folder = tempfile::tempdir().unwrap();
        let report = in_folder(folder.path(), &args(extra)).unwrap();
        assert!(report.contains("sites/shop.yaml") && report.contains("places wait"), "{report}");
        let loaded = config::load(&folder.path().join("consentry.yaml"), FirstStart::ReadOnly).unwrap();
        assert_eq!(loaded.not_filled_in, ["shop".into()]);
        let unexpected: Vec<_> = loaded
            .warnings
            .iter()
            .map(|problem| problem.message.as_str())
            .filter(|message| {
                !message.starts_with("still to be filled in")
                    && !message.contains("is not filled in for `sv`")
            })
            .collect();
        let expected = if extra.is_empty() {
            vec!["nobody is named who answers for the personal data (GDPR article 13(1)(a))"]
        } else {
            // No texts of the banner are built in for it.
            unexpected.iter().copied().filter(|message| message.contains("`de`")).collect()
        };
        assert_eq!(unexpected, expected);
    }
}

#[test]
fn it_asks_only_for_what_it_was_not_told() {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path(), &args(&ALL)).unwrap();
    for (file, parts) in [
        ("sv", ["{{ controller.name }}", "{{ controller.email }}", "{{ processor.name }}", "{{ hosts }}"]),
        (
            "de",
            [
                "{{ controller.address }}",
                "{{ processor.name }}",
                "translate title and text to `de`",
                "{{ cookies }}",
            ],
        ),
    ] {
        let text =
            fs::read_to_string(folder.path().join(format!("documents/shop/privacy.{file}.md"))).unwrap();
        for part in parts {
            assert!(text.contains(part), "{file}: {part}");
        }
        assert!(!text.contains('@') || !text.contains("@controller"), "{file}: every place is filled");
    }
    let yaml = fs::read_to_string(folder.path().join("sites/shop.yaml")).unwrap();
    assert!(yaml.contains("  name: \"Byrån: \\\"AB\\\" # & söner\"\n"), "{yaml}");
}

#[test]
fn nothing_is_ever_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("documents/shop/privacy.en.md");
    fs::create_dir_all(document.parent().unwrap()).unwrap();
    fs::write(&document, "mine").unwrap();
    let error = in_folder(folder.path(), &args(&[])).unwrap_err().to_string();
    assert!(error.contains("privacy.en.md"), "{error}");
    assert_eq!(fs::read_to_string(&document).unwrap(), "mine");
    assert!(!folder.path().join("consentry.yaml").exists() && !folder.path().join("sites").exists());
}

#[test]
fn what_would_have_errors_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path(), &args(&[])).unwrap();
    let mut second = args(&[]);
    second.name = "blog".into();
    let error = in_folder(folder.path(), &second).unwrap_err().to_string();
    assert!(error.contains("nothing is left of it"), "the host is the first site's: {error}");
    assert!(!folder.path().join("sites/blog.yaml").exists());
    second.hosts = vec!["blog.example".into()];
    second.upstream = "htp://x".into();
    assert!(in_folder(folder.path(), &second).is_err());
    second.upstream = "http://127.0.0.1:3001".into();
    in_folder(folder.path(), &second).unwrap();
    for name in ["../x", "", "a/b", ".hidden", "å"] {
        second.name = name.into();
        assert!(in_folder(folder.path(), &second).is_err(), "{name}");
    }
}

/// What articles 13 and 14 of the GDPR and the Swedish supervisors ask for, by words that only it can stand in.
#[test]
fn the_outlines_cover_what_the_law_asks_for() {
    let known = texts::Known {
        hosts: false,
        controller: false,
        organisation_number: false,
        address: false,
        email: false,
        processor: false,
    };
    for (language, words) in [
        (
            "sv",
            &[
                "Personuppgiftsansvarig",
                "dataskyddsombud",
                "Rättslig grund",
                "berättigade intresse",
                "Lagringstid",
                "Vilka får del",
                "utanför EU och EES",
                "standardavtalsklausuler",
                "(tillgång, artikel 15)",
                "artikel 16",
                "artikel 17",
                "artikel 18",
                "artikel 20",
                "Rätt att invända",
                "ta tillbaka ditt samtycke",
                "Integritetsskyddsmyndigheten",
                "Post- och telestyrelsen",
                "Måste du lämna uppgifterna?",
                "automatiserad behandling",
                "Varifrån kommer uppgifterna?",
                "artikel 28",
                "administratörernas egna konton",
                "{{ services }}",
                "{{ cookies }}",
            ][..],
        ),
        (
            "en",
            &[
                "The **controller** is",
                "data protection officer",
                "Legal basis",
                "legitimate interest",
                "Kept for",
                "Who receives the data?",
                "outside the EU and the EEA",
                "standard contractual clauses",
                "(access, article 15)",
                "article 16",
                "article 17",
                "article 18",
                "article 20",
                "Right to object",
                "withdraw your consent",
                "Swedish Authority for Privacy Protection",
                "Post and Telecom Authority",
                "Do you have to give the data?",
                "automated processing",
                "Where do the data come from?",
                "article 28",
                "administrators' own accounts",
                "{{ services }}",
                "{{ cookies }}",
            ],
        ),
    ] {
        let privacy = texts::DOCUMENTS.iter().find(|document| document.name == "privacy").unwrap();
        let text = privacy.written(language, "2018-05-25", &known);
        for word in words {
            assert!(text.contains(word), "{language}: {word}");
        }
    }
}
