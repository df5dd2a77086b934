//! The commands around the proxy: what they print, and their exit codes.

use std::process::{Command, Output};

fn consentry(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
    command.args(words).env_remove("CONSENTRY_CONFIG").output().unwrap()
}

fn printed(words: &[&str]) -> String {
    let output = consentry(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_schema_of_each_file_takes_the_example_and_that_of_both_takes_either() {
    let example = |name: &str| -> serde_json::Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let (main, site) = (example("consentry.yaml"), example("sites/example.yaml"));
    for (words, takes_main, takes_site) in [
        (&["schema", "--file", "main"][..], true, false),
        (&["schema", "--file", "site"], false, true),
        (&["schema"], true, true),
    ] {
        let schema = serde_json::from_str(&printed(words)).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        assert_eq!(
            (validator.is_valid(&main), validator.is_valid(&site)),
            (takes_main, takes_site),
            "{words:?}"
        );
    }
}
