//! hvac, the Vault client for Python.

use std::path::PathBuf;
use std::process::Command;

use crate::gateway::Ready;
use crate::process::{self, Outcome};

/// Runs a Python program in which `client` is an hvac client with the application's certificate.
///
/// The program begins after `import hvac, json, sys` and may use `connect()` for another client.
#[track_caller]
#[must_use]
pub fn python(ready: &Ready, program: &str) -> Outcome {
    let preamble = "\
import hvac, json, os, sys
def connect(cert='APP', **more):
    pair = (os.environ[cert + '_CERT'], os.environ[cert + '_KEY']) if cert else None
    return hvac.Client(url=os.environ['API'], verify=os.environ['ROOT'], cert=pair, **more)
client = connect()
";
    let mut command = Command::new(interpreter());
    command
        .args(["-c", &format!("{preamble}{program}")])
        .env("API", &ready.api)
        .env("ROOT", &ready.root)
        .env("APP_CERT", &ready.app_cert)
        .env("APP_KEY", &ready.app_key)
        .env("ADMIN_CERT", &ready.admin_cert)
        .env("ADMIN_KEY", &ready.admin_key)
        // hvac takes a token from where the command line tool left one; there is none here.
        .env_remove("VAULT_TOKEN")
        .env("HOME", "/nonexistent");
    process::run(&mut command)
}

fn interpreter() -> PathBuf {
    process::python_tool("python3")
}
