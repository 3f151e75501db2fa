//! The README's ten minutes, typed as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use chancery_integration::gateway::{Gateway, Options, binary};
use chancery_integration::plugin::Access;
use chancery_integration::process::{self, Server, repository};
use chancery_integration::site::Site;

/// The code blocks of a language below a heading, up to the next heading of the same level or above.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    blocks_of("README.md", heading, language)
}

/// The same of another document.
fn blocks_of(document: &str, heading: &str, language: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository().join(document)).expect("the document is there");
    let level = heading.split(' ').next().expect("a heading begins with its level");
    let mut lines = readme.lines().skip_while(|line| *line != heading).skip(1).peekable();
    assert!(lines.peek().is_some(), "there is no {heading:?} in the README");
    let (mut found, mut inside, mut fenced) = (Vec::new(), None::<String>, false);
    for line in lines {
        if !fenced
            && line.starts_with('#')
            && line.split(' ').next().is_some_and(|hashes| hashes.len() <= level.len())
        {
            break;
        }
        if let Some(kind) = line.strip_prefix("```") {
            fenced = !fenced;
            match inside.take() {
                Some(block) => found.push(block),
                None if fenced && kind == language => inside = Some(String::new()),
                None => {}
            }
        } else if let Some(block) = &mut inside {
            block.push_str(line);
            block.push('\n');
        }
    }
    assert!(!found.is_empty(), "no {language} below {heading:?}");
    found
}

/// What the README says, for a gateway at other ports and with another folder.
fn here(site: &Site, gateway: &Gateway, text: &str) -> String {
    let text = text
        .replace("$PWD/.chancery", ".chancery")
        .replace(".chancery/certbot", &site.path().join("certbot").to_string_lossy())
        // The trust domain is no folder.
        .replace("dev.chancery/", "dev\u{1}")
        .replace(".chancery", &gateway.directory().to_string_lossy())
        .replace("dev\u{1}", "dev.chancery/")
        .replace("https://127.0.0.1:8443", &gateway.ready().api)
        .replace("--http-01-port 5002", &format!("--http-01-port {}", http01_port(gateway)));
    assert!(!text.contains("8443"), "{text}");
    text
}

/// The port that the gateway was told to look for http-01 answers at.
fn http01_port(gateway: &Gateway) -> String {
    let text =
        fs::read_to_string(gateway.path("chancery.toml")).expect("the configuration is there");
    let config: toml::Table = text.parse().expect("it is TOML");
    config["acme"]["http01_port"].to_string()
}

fn shell(script: &str) -> process::Outcome {
    process::run(
        Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(repository()),
    )
}

fn gateway(site: &Site) -> Gateway {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    // Names under .localhost lead to 127.0.0.1 and not to the site, so the port has to be a free one.
    Options::new(site).http01_port(port).start()
}

#[test]
fn the_commands_for_certbot_curl_and_hvac_work() {
    let site = Site::new();
    let gateway = gateway(&site);
    let certbot = blocks("### A certificate with certbot", "sh").concat();
    drop(shell(&here(&site, &gateway, &certbot)).success().says(": OK"));

    let blocks = blocks("### A secret with curl", "sh");
    let [curl, audit, hvac] = &blocks[..] else { panic!("three blocks: {blocks:?}") };
    let said = shell(&here(&site, &gateway, &format!("{curl}{audit}"))).success();
    assert!(said.stdout.contains("a long one"), "{said}");
    assert!(said.stdout.contains("errors"), "{said}");
    assert!(said.stdout.contains("secret/payroll/salaries"), "the audit log has it: {said}");
    drop(shell(&here(&site, &gateway, hvac)).success().says("a long one"));
}

#[test]
fn the_rule_of_one_s_own_works() {
    let site = Site::new();
    let gateway = gateway(&site);
    let curl =
        blocks("### A secret with curl", "sh")[0].lines().next().expect("the alias").to_owned();
    let rule = blocks("### A rule of your own", "toml").concat();
    let file = gateway.path("policies/access.toml");
    let text = fs::read_to_string(&file).expect("the rules are there");
    let title = "\"the app works with its own secrets\"";
    let (before, after) = text.split_once(title).expect("the README names a rule that is there");
    let old = "resources = [\"secret/app/*\"]";
    assert!(after.contains(old), "{after}");
    fs::write(&file, format!("{before}{title}{}", after.replacen(old, rule.trim(), 1)))
        .expect("written");

    taken(&gateway);
    let request = blocks("### A rule of your own", "sh").concat();
    let said = shell(&here(&site, &gateway, &format!("{curl}\n{request}"))).success();
    assert!(said.stdout.contains("\"version\":1"), "{said}");
}

/// Waits until the log says that changed policies are in force.
#[track_caller]
fn taken(gateway: &Gateway) {
    process::eventually("the log says so", Duration::from_mins(1), || {
        gateway.log().contains("took changed policies").then_some(())
    });
}

#[test]
fn the_policy_of_one_s_own_is_bound_and_denies() {
    let site = Site::new();
    let gateway = gateway(&site);
    let curl =
        blocks("### A secret with curl", "sh")[0].lines().next().expect("the alias").to_owned();
    let blocks = blocks("### A policy of your own", "sh");
    let [_, bind, request] = &blocks[..] else { panic!("three blocks: {blocks:?}") };
    // That the policy compiles is another test's matter, since it takes minutes; this one denies too.
    let plugin = site.write("lower-case.wasm", Access::Denies.component());
    let bind = bind.replace("plugins/target/components/lower-case.wasm", &plugin.to_string_lossy());
    drop(shell(&here(&site, &gateway, &bind)).success());
    taken(&gateway);
    // Also for somebody who was too quick and wrote the secret before the policy was in force.
    for _ in 0..2 {
        let said = shell(&here(&site, &gateway, &format!("{curl}\n{request}"))).success();
        assert!(said.stdout.contains("permission denied"), "{said}");
    }
}

#[test]
fn a_gateway_for_real_is_set_up_as_it_says() {
    let site = Site::new();
    let dev = gateway(&site);
    let [setup, serve, renewal] = for_real();
    let etc = site.path().join("etc");
    let elsewhere = |text: &str| elsewhere(&site, text);
    drop(shell(&here(&site, &dev, &elsewhere(&setup))).success().says("are valid"));
    let mut server = Command::new("bash");
    server.args(["-c", &format!("exec {}", elsewhere(&serve))]);
    let server = serving(&site, &mut server);
    let first = fs::read(etc.join("admin.pem")).expect("the first administrator's certificate");
    let log = server.log();
    let api = log.split("api=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let renewal = renewal
        .replace("127.0.0.1:8443", api.expect("the log has its address"))
        .replace(" billing.", &format!(" {}/billing.", site.path().display()));
    drop(shell(&here(&site, &dev, &elsewhere(&renewal))).success());
    assert_ne!(fs::read(etc.join("admin.pem")).expect("a certificate"), first, "it is renewed");
    assert!(site.path().join("billing.key").is_file());
}

/// The commands that set a gateway up, the one that stays, and those for while it runs.
fn for_real() -> [String; 3] {
    let mut blocks = blocks("## Run it for real", "sh");
    let renewal = blocks.pop().expect("what is issued while it runs");
    let script = blocks.concat();
    let (setup, serve) = script.trim_end().rsplit_once('\n').expect("several commands");
    assert_eq!(
        serve, "target/release/chancery serve --config /etc/chancery/chancery.toml",
        "the last command is the one that stays"
    );
    let setup = setup.strip_prefix("make build\n").expect("it is built first");
    [setup.to_owned(), serve.to_owned(), renewal]
}

/// Commands for a gateway whose files are in the site and whose ports are free ones.
fn elsewhere(site: &Site, text: &str) -> String {
    text.replace("/etc/chancery", &site.path().join("etc").to_string_lossy())
        .replace("/var/lib/chancery", &site.path().join("var").to_string_lossy())
        .replace(":8443", ":0")
        .replace(":8080", ":0")
        .replace(":8081", ":0")
        .replace("target/release/chancery", &binary().to_string_lossy())
}

/// Starts a gateway and waits until it serves.
fn serving(site: &Site, command: &mut Command) -> Server {
    let log = site.path().join("serve.log");
    let mut server = Server::start("chancery serve", command, &log);
    process::eventually("it serves", Duration::from_mins(2), || {
        assert!(server.ended().is_none(), "it has ended; its log:\n{}", server.log());
        server.log().contains("serving").then_some(())
    });
    server
}

/// A user and a group that every system has, for the service's.
const SERVICE: u32 = 65_534;

#[test]
fn a_gateway_for_real_runs_as_a_service_with_its_own_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    let dev = gateway(&site);
    let [setup, _, _] = for_real();
    drop(shell(&here(&site, &dev, &elsewhere(&site, &setup))).success());
    let page = blocks_of("docs/operating/service.md", "# As a systemd service", "sh");
    let [_, files, start, ..] = &page[..] else { panic!("three blocks: {page:?}") };
    let files = files
        .replace("chancery:chancery", &format!("{SERVICE}:{SERVICE}"))
        .replace("root:chancery", &format!("root:{SERVICE}"))
        .replace("--group chancery", &format!("--group {SERVICE}"));
    // The user can reach the program and the folders on the way.
    let program = site.file("chancery");
    fs::copy(binary(), &program).expect("the program can be copied");
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o711)).expect("it can be set");
    let program = program.to_string_lossy();
    let as_service =
        format!("setpriv --reuid {SERVICE} --regid {SERVICE} --clear-groups {program}");
    let check = start.lines().next().expect("it is checked first");
    let check = check.replace("runuser -u chancery -- chancery", &as_service);
    assert!(check.starts_with(&as_service), "{check}");
    // Without the commands it says what to do, as the user and as root.
    let said = shell(&elsewhere(&site, &check)).failure();
    assert!(said.stderr.contains("this process is the user nobody"), "{said}");
    drop(shell(&elsewhere(&site, &files)).success());
    drop(shell(&elsewhere(&site, &check)).success().says("are valid"));
    let mut server = Command::new("bash");
    let serve = format!("exec {as_service} serve --config /etc/chancery/chancery.toml");
    server.args(["-c", &elsewhere(&site, &serve)]);
    let server = serving(&site, &mut server);
    drop(server);
    let root = shell(&elsewhere(
        &site,
        "target/release/chancery check --config /etc/chancery/chancery.toml",
    ));
    assert!(root.failure().stderr.contains("`runuser -u nobody -- chancery …`"));
}

#[test]
fn the_policy_of_one_s_own_compiles() {
    let site = Site::new();
    // A copy: the commands change the workspace of the plugins.
    let copy = site.folder("copy");
    let script = format!(
        "cp -r wit {copy}/ && mkdir {copy}/plugins && cd plugins && \
         tar --create --exclude target . | tar --extract --directory {copy}/plugins",
        copy = copy.display()
    );
    drop(shell(&script).success());
    let commands = blocks("### A policy of your own", "sh").remove(0);
    let (make, build) = commands.trim_end().rsplit_once('\n').expect("several commands");
    assert_eq!(build, "plugins/build lower-case");
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", make]).current_dir(&copy);
    drop(process::run(&mut command).success());
    // To WebAssembly it would take minutes, of which the standard library takes the most.
    let mut check = Command::new(env!("CARGO"));
    check
        .args(["check", "--quiet", "--offline", "--package", "lower-case"])
        .current_dir(copy.join("plugins"))
        // What it depends on is compiled there already, mostly.
        .env("CARGO_TARGET_DIR", repository().join("plugins/target"));
    drop(process::run(&mut check).success());
}
