//! The commands around the proxy: what they print, and their exit codes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::Arc;

use consentry::admin::{self, Health, Look};
use consentry::listener::Pulse;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

fn consentry(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
    command.args(words).env_remove("CONSENTRY_CONFIG").output().unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
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

#[test]
fn every_shell_gets_completions_and_bash_can_read_its_own() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for command in ["healthcheck", "ledger", "schema"] {
            assert!(script.contains(command), "{command} in {shell}");
        }
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("consentry.bash");
    std::fs::write(&path, printed(&["completions", "bash"])).unwrap();
    let proposals = "source \"$1\"; COMP_WORDS=(consentry ledger ex); COMP_CWORD=2; \
                     _consentry consentry ex ledger; echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", proposals, "bash"]).arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "export\n", "{output:?}");
}

#[test]
fn the_manual_has_a_page_for_every_command_and_names_signals_and_files() {
    let main = printed(&["man"]);
    for part in [".TH consentry 1", ".SH SIGNALS", "SIGHUP", "config/consentry.yaml", "consentry\\-run(1)"] {
        assert!(main.contains(part), "{part} in {main}");
    }
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man1");
    printed(&["man", "--folder", pages.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(pages.join("consentry.1")).unwrap(), main);
    let help = printed(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> =
        listed.map_while(|line| line.split_whitespace().next()).filter(|word| *word != "help").collect();
    assert!(commands.len() > 5, "{help}");
    for command in commands.into_iter().chain(["ledger-verify"]) {
        let page = std::fs::read_to_string(pages.join(format!("consentry-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
}

/// The complaints of groff about the pages; nothing where it is not installed.
#[test]
fn groff_reads_every_page_without_a_complaint() {
    let folder = TempDir::new().unwrap();
    printed(&["man", "--folder", folder.path().to_str().unwrap()]);
    for page in std::fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        let groff = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page).output();
        let Ok(output) = groff else { return };
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", page.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_asks_the_admin_listener_of_the_settings() {
    let bound = admin::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
    let admin = bound.local_address().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(
        bound.serve(
            Health::new(Arc::default(), shutdown.clone(), Look::new(|_| {}), Pulse::default()),
            shutdown,
        ),
    );
    let (_folder, settings) = with_admin(admin);
    let told = printed(&["healthcheck", "--config", &settings]);
    assert!(told.contains(&format!("http://{admin}/healthz: well")), "{told}");
}

/// A file of settings with this admin listener. What is wrong elsewhere in it is of no account: the proxy may run
/// with older settings.
fn with_admin(admin: SocketAddr) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let settings = folder.path().join("consentry.yaml");
    std::fs::write(&settings, format!("admin: {{ address: '{admin}' }}\nlimts: {{}}\n")).unwrap();
    let settings = settings.to_str().unwrap().to_owned();
    (folder, settings)
}

#[test]
fn a_proxy_that_does_not_run_is_not_well() {
    let (gone, address) = listener();
    drop(gone);
    let (_folder, settings) = with_admin(address);
    let output = consentry(&["healthcheck", "--config", &settings]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains(&address.to_string()) && told.contains("refused"), "{told}");
}

#[test]
fn an_answer_that_is_not_200_or_does_not_come_is_not_health() {
    let (draining, address) = listener();
    let answer = std::thread::spawn(move || {
        let (mut socket, _) = draining.accept().unwrap();
        let mut head = [0; 1024];
        let read = socket.read(&mut head).unwrap();
        socket.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\ndraining\n").unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    let output = consentry(&["healthcheck", "--url", &format!("http://{address}/readyz")]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("503") && told.contains("draining"), "{told}");
    assert!(answer.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));

    let (_silent, address) = listener();
    let output = consentry(&["healthcheck", "--timeout", "1", "--url", &format!("http://{address}/")]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("no answer within 1 s"), "{told}");
}

#[test]
fn a_healthcheck_without_an_admin_listener_says_so() {
    let folder = TempDir::new().unwrap();
    let settings = folder.path().join("consentry.yaml");
    for (text, expected) in [
        ("listen: [{ address: 127.0.0.1:1 }]\n", "names no `admin`"),
        ("admin: { address: 127.0.0.1:0 }\n", "another port at every start"),
        ("admin: { address: nowhere }\n", "not an address to listen on"),
    ] {
        std::fs::write(&settings, text).unwrap();
        let output = consentry(&["healthcheck", "--config", settings.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && told.contains(expected), "{told}");
    }
}
