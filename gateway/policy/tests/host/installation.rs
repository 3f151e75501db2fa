use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chancery_identity::TenantId;
use chancery_policy::{AccessRequest, Digest, Known, LoadError, PolicyConfig, PolicyHost};
use tempfile::TempDir;

/// A directory with bindings and plugins, as an operator would lay it out.
pub(crate) struct Installation {
    directory: TempDir,
}

impl Installation {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir_all(directory.path().join("policies/plugins")).unwrap();
        Self { directory }
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    pub(crate) fn config(&self) -> PolicyConfig {
        let config = PolicyConfig::new(self.policies(), self.cache());
        PolicyConfig { known: Known::ANYTHING, ..config }
    }

    /// Installs a component and gives what a binding writes after `plugin =`.
    pub(crate) fn plugin(&self, name: &str, wasm: &[u8]) -> String {
        fs::write(self.policies().join("plugins").join(name), wasm).unwrap();
        format!("{{ file = \"plugins/{name}\", digest = \"{}\" }}", Digest::of(wasm))
    }

    /// Writes a document.
    pub(crate) fn document(&self, name: &str, text: &str) {
        fs::write(self.policies().join(name), text).unwrap();
    }

    /// Binds a component for access, with these further lines.
    pub(crate) fn bind_access(&self, name: &str, wasm: &[u8], more: &str) {
        let plugin = self.plugin(&format!("{name}.wasm"), wasm);
        let text = format!(
            "[[binding]]\nname = \"{name}\"\ndecision = \"access\"\nplugin = {plugin}\n{more}\n"
        );
        self.document(&format!("{name}.toml"), &text);
    }

    pub(crate) fn open(&self) -> Result<PolicyHost, LoadError> {
        PolicyHost::open(self.config())
    }

    /// The message with which the installation is refused.
    pub(crate) fn refusal(&self) -> String {
        match self.open() {
            Ok(_) => panic!("the installation was taken"),
            Err(error) => error.to_string(),
        }
    }
}

pub(crate) fn request(operation: &str, resource: &str) -> AccessRequest {
    AccessRequest {
        tenant: TenantId::default_tenant(),
        identity: "spiffe://dev.chancery/app".to_owned(),
        operation: operation.to_owned(),
        resource: resource.to_owned(),
        attributes: vec![],
    }
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A plugin that ships with the product, as `plugins/build` made it. Fails if it has not been built
/// since its source changed.
pub(crate) fn shipped(name: &str) -> Vec<u8> {
    let root = repository();
    let path = root.join(format!("plugins/target/components/{name}.wasm"));
    let Ok(found) = fs::metadata(&path) else {
        panic!("{} is missing: run plugins/build", path.display())
    };
    let built = found.modified().unwrap();
    for source in ["wit", "plugins/guest/src", &format!("plugins/{name}/src")] {
        let changed = newest(&root.join(source));
        assert!(built >= changed, "{} is older than {source}: run plugins/build", path.display());
    }
    fs::read(path).unwrap()
}

fn newest(directory: &Path) -> SystemTime {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    files.map(|file| file.modified().unwrap()).max().unwrap()
}
