//! Starting: what it prints, what it leaves in its folder, and what it refuses.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use chancery_integration::gateway::{self, Gateway, Options};
use chancery_integration::http;
use chancery_integration::lint::{self, Purpose};
use chancery_integration::site::Site;

#[test]
fn the_ready_line_is_one_line_with_exactly_the_promised_keys() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let ready = gateway.ready().clone();
    assert_eq!(ready.acme_directory, format!("{}/acme/directory", ready.api));
    assert!(ready.api.starts_with("https://127.0.0.1:"), "{}", ready.api);
    assert!(ready.http.starts_with("http://127.0.0.1:"), "{}", ready.http);
    assert!(ready.metrics.starts_with("http://127.0.0.1:"), "{}", ready.metrics);
    let dev = gateway.path("dev");
    let expected =
        ["root.pem", "admin.pem", "admin.key", "app.pem", "app.key"].map(|name| dev.join(name));
    let named = [&ready.root, &ready.admin_cert, &ready.admin_key, &ready.app_cert, &ready.app_key]
        .map(Clone::clone);
    assert_eq!(named, expected);
    // It is ready when it says so: nothing is asked twice here.
    assert_eq!(gateway.anonymous().get("/v1/sys/health").status, 200);
    assert_eq!(gateway.plain().get("/health").status, 200);
    // Who reads its configuration finds it there, also at ports that the system chose.
    let text = std::fs::read_to_string(gateway.path("chancery.toml")).expect("it is written");
    let config: toml::Table = text.parse().expect("it is TOML");
    let ready = gateway.ready();
    for (name, url) in [("listen", &ready.api), ("http", &ready.http), ("metrics", &ready.metrics)]
    {
        let written = config["server"][name].as_str().expect("an address");
        assert!(url.ends_with(&format!("//{written}")), "{name}: {written} is not {url}");
    }

    let (status, rest) = gateway.stop();
    assert!(status.success(), "{status}");
    assert!(rest.is_empty(), "standard output has more than the one line: {rest:?}");
}

#[test]
fn keys_are_for_the_owner_alone_and_client_certificates_are_sound() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let ready = gateway.ready();
    for key in [&ready.admin_key, &ready.app_key, &gateway.path("root.key")] {
        let mode = std::fs::metadata(key).expect("the key is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
    for (file, id) in [(&ready.app_cert, "app"), (&ready.admin_cert, "admin")] {
        let chain = std::fs::read_to_string(file).expect("the certificate is there");
        lint::assert_chain(&site, &chain, &ready.root, Purpose::Client);
        let names = lint::field(&site, &http::certificates(&chain)[0], "-ext subjectAltName");
        assert!(names.contains(&format!("URI:spiffe://dev.chancery/{id}")), "{names}");
    }
}

#[test]
fn the_gateway_s_own_certificate_is_sound() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let authority = gateway.ready().api.trim_start_matches("https://").to_owned();
    let root = gateway.ready().root.to_string_lossy().into_owned();
    let said = lint::openssl(&[
        "s_client",
        "-connect",
        &authority,
        "-CAfile",
        &root,
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
        "-showcerts",
    ])
    .success();
    assert!(said.stdout.contains("Verify return code: 0 (ok)"), "{said}");
    let chain: String = said
        .stdout
        .split_inclusive("-----END CERTIFICATE-----\n")
        .filter_map(|part| part.find("-----BEGIN CERTIFICATE-----").map(|start| &part[start..]))
        .collect();
    lint::assert_chain(&site, &chain, &gateway.ready().root, Purpose::InternalServer);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let site = Site::new();
    let first = Gateway::start(&site);
    let other = Site::new();
    let said = Options::new(&other).at(first.ready()).start_fails();
    let port = first.ready().api.rsplit(':').next().expect("a port").to_owned();
    assert!(said.stderr.contains(&port) && said.stderr.contains("listen"), "{said}");
}

#[test]
fn a_folder_that_is_in_use_is_refused_and_left_alone() {
    let site = Site::new();
    let mut first = Gateway::start(&site);
    let said = Options::new(&site).start_fails();
    assert!(said.stderr.contains(&*site.path().to_string_lossy()), "{said}");
    assert!(said.stderr.contains("use"), "it says why: {said}");
    first.assert_up();
}

#[test]
fn it_says_what_it_can_do() {
    let said = gateway::chancery(&["--help"]).success();
    for command in ["dev", "serve", "check", "audit"] {
        assert!(said.stdout.contains(command), "{said}");
    }
    drop(gateway::chancery(&["--version"]).success());
    let said = gateway::chancery(&["serv"]).failure();
    assert!(said.stderr.contains("'serve'"), "it knows what was meant: {said}");
    let said = gateway::chancery(&["dev", "--http01-port", "0"]).failure();
    assert!(said.stderr.contains("--http01-port"), "{said}");
}

#[test]
fn it_runs_without_the_flag_and_speaks_to_people() {
    let site = Site::new();
    let mut command = Command::new(gateway::binary());
    command
        .args(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--dir"])
        .arg(site.path().join("s"));
    let mut server = chancery_integration::process::Server::start(
        "chancery dev",
        &mut command,
        &site.file("log"),
    );
    let line = server.line(std::time::Duration::from_mins(2));
    assert!(line.contains("ready"), "{line}");
}
