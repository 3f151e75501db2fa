//! Whether a component is a policy of this contract, told in the contract's words before the engine
//! tells it in its own.

use chancery_sandbox::INSTRUMENTATION;
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::wasi;
use crate::contract::Decision;
use crate::contract::interface::{
    ACCESS, CERTIFICATE, IMPORTS, VERSION, is_compatible, is_interface, other_version,
    same_interface, version,
};

/// What can be seen of a component from outside.
pub(crate) struct Seen {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Lists what the component imports and exports, if it is a policy.
pub(crate) fn see(
    engine: &Engine,
    component: &Component,
    decision: Decision,
) -> Result<Seen, String> {
    check_world(engine, component, decision)?;
    let ty = component.component_type();
    let imports = ty
        .imports(engine)
        .filter(|(_, import)| !only_types(engine, &import.ty))
        .map(|(name, _)| name.to_owned());
    Ok(Seen { imports: imports.collect(), exports: exports(engine, component) })
}

/// What the component decides about. Only looks, and leaves it to the engine whether the component is good.
pub(crate) fn decision_of(wasm: &[u8]) -> Result<Decision, String> {
    refuse_module(wasm)?;
    let names = exported_names(wasm).map_err(|error| error.to_string())?;
    let exports = |decision: &Decision| names.iter().any(|name| is_interface(name, *decision));
    let decisions = [Decision::Access, Decision::Certificate];
    decisions.into_iter().find(exports).ok_or_else(|| {
        let found = listed(&names);
        format!("it is no policy: one exports `{ACCESS}` or `{CERTIFICATE}`; it exports {found}")
    })
}

/// What the outermost component exports.
fn exported_names(wasm: &[u8]) -> Result<Vec<String>, wasmparser::BinaryReaderError> {
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    names.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Authors forget the last step of a build.
pub(crate) fn refuse_module(wasm: &[u8]) -> Result<(), String> {
    if wasm.starts_with(b"\0asm\x01\0\0\0") {
        let reason = "it is a core module, not a component: see plugins/build for the step that \
                      makes one of it";
        return Err(reason.to_owned());
    }
    Ok(())
}

/// Says what is missing or too much.
pub(crate) fn check_world(
    engine: &Engine,
    component: &Component,
    decision: Decision,
) -> Result<(), String> {
    for (name, import) in component.component_type().imports(engine) {
        if !only_types(engine, &import.ty) {
            check_import(engine, name, &import.ty)?;
        }
    }
    if exports_interface(engine, component, decision) {
        return Ok(());
    }
    let needed = decision.interface();
    let exports = exports(engine, component);
    if let Some(other) = exports.iter().find(|name| same_interface(name, needed)) {
        return Err(other_version(other));
    }
    let found = listed(&exports);
    Err(format!("this decision needs a component that exports `{needed}`; it exports {found}"))
}

fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    let ty = component.component_type();
    ty.exports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|name| *name != INSTRUMENTATION)
        .collect()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn exports_interface(engine: &Engine, component: &Component, decision: Decision) -> bool {
    component.component_type().exports(engine).any(|(name, _)| is_interface(name, decision))
}

/// An interface of types brings no capability.
fn only_types(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| only_types(engine, &export.ty))
        }
        _ => false,
    }
}

/// Says what is too much about an import: what the contract has not, or has not yet.
fn check_import(engine: &Engine, name: &str, item: &ComponentItem) -> Result<(), String> {
    if wasi::interface(name).is_some() {
        return Ok(());
    }
    let (interface, _) = name.split_once('@').unwrap_or((name, ""));
    let known = IMPORTS.iter().find(|(known, _)| *known == interface);
    let Some((_, functions)) = known else {
        if interface.starts_with("chancery:policy/") {
            return Err(format!(
                "it needs `{name}`, which this gateway's contract ({VERSION}) does not have: use an older \
                 build of the plugin, or a newer gateway"
            ));
        }
        let known = IMPORTS.map(|(interface, _)| interface).join(", ");
        return Err(format!(
            "it imports `{name}`, and a policy may import only {known}, and WASI 0.2, which is empty"
        ));
    };
    if !is_compatible(version(name)) {
        return Err(other_version(name));
    }
    let ComponentItem::ComponentInstance(instance) = item else { return Ok(()) };
    for (function, export) in instance.exports(engine) {
        let is_function = matches!(export.ty, ComponentItem::ComponentFunc(_));
        if is_function && !functions.contains(&function) {
            return Err(format!(
                "it needs the function `{function}` of `{name}`, which this gateway's contract ({VERSION}) \
                 does not have: use an older build of the plugin, or a newer gateway"
            ));
        }
    }
    Ok(())
}
