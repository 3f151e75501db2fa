//! Going on although lines are missing, because an operator says so on the record.

use std::path::Path;
use std::sync::Arc;

use chancery_identity::Clock;

use crate::file;
use crate::find::Search;
use crate::head::Head;
use crate::log::Begin;
use crate::mark::{KnownMark, Mark};
use crate::own;
use crate::paths::Names;
use crate::{AuditConfig, AuditKey, OpenError};

/// What an operator has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// What was wrong with the log.
    pub problem: String,
    /// The line that says so, the first one of a new file.
    pub line: u64,
    /// What the file is called now that was the log's last one, if there was one.
    pub set_aside: Option<String>,
}

/// Why no loss was accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptLossError {
    /// Nothing is missing.
    #[error(
        "the audit log is whole as far as its mark and its head say: there is no loss to accept"
    )]
    NothingMissing,
    /// Something else is wrong, which this does not help.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Begins a new file after a log that [`Audit::open`](crate::Audit::open) refuses. Its first line says
/// that lines are missing, why (`reason`), and who went on (`by`); numbers that lines have had are not
/// given again. The file that is at the log's path is renamed and stays as it is. To be called while no
/// gateway runs.
///
/// # Errors
/// See [`AcceptLossError`].
pub async fn accept_loss(
    config: AuditConfig,
    reason: &str,
    by: &str,
    clock: &Clock,
) -> Result<AcceptedLoss, AcceptLossError> {
    let names = Names::new(&config.path);
    let key = Arc::new(AuditKey::new(&config.key).map_err(OpenError::Key)?);
    let known = &config.marks.known;
    config.trusted.make_directory(names.directory()).map_err(OpenError::Untrusted)?;
    let mut search = Search::new(&names, &key, known);
    let problem = match (search.run(), known) {
        (Ok(_), KnownMark::Missing) => "the store has no mark of it any more".to_owned(),
        (Ok(_), _) => return Err(AcceptLossError::NothingMissing),
        (Err(OpenError::Broken { problem, .. }), _) => problem,
        (Err(OpenError::Head { problem, .. }), _) => problem.to_string(),
        (Err(error), _) => return Err(error.into()),
    };
    let mut chain = search.chain;
    let head = search.head.as_ref().map_or(0, |head| head.tip.seq);
    let next = chain.tip.seq.max(head) + 1;
    let mut event = own::event(clock, own::ACCEPT_LOSS, config.name.to_string())
        .detail("reason", reason)
        .detail("by", by)
        .detail("problem", problem.clone())
        .detail("last_known_line", chain.tip.seq)
        .detail("last_known_hash", chain.tip.hash.clone());
    if let KnownMark::At(mark) = known {
        event = event.detail("marked_line", mark.lines()).detail("marked_hash", mark.hash());
    }
    if head > 0 {
        event = event.detail("sealed_line", head);
    }
    let io = |doing: &'static str| {
        let path = config.path.clone();
        move |cause| OpenError::Io { path, doing, cause }
    };
    let set_aside = set_aside(&names, &config, clock)?;
    if let Some(name) = &set_aside {
        event = event.detail("set_aside", name.clone());
    }
    chain.skip_to(next);
    let before = Head { tip: chain.tip.clone(), place: search.place };
    let begin = Begin { names: &names, name: &config.name, key: &key, clock };
    let (file, chain) =
        begin.file(event, &chain, &before).map_err(io("beginning its next file"))?;
    let line = chain.tip.seq;
    let written = (config.marks.write)(Mark { chain, place: file.place() }).await;
    written.map_err(|problem| OpenError::Mark { path: config.path.clone(), problem })?;
    Ok(AcceptedLoss { problem, line, set_aside })
}

/// Gives the file at the log's path another name.
fn set_aside(
    names: &Names,
    config: &AuditConfig,
    clock: &Clock,
) -> Result<Option<String>, OpenError> {
    let Some(_locked) = file::lock(names.active(), &config.trusted)? else { return Ok(None) };
    let aside = names.set_aside(clock.now());
    let io =
        |cause| OpenError::Io { path: config.path.clone(), doing: "setting its file aside", cause };
    if chancery_files::is_there(&aside) {
        return Err(io(std::io::ErrorKind::AlreadyExists.into()));
    }
    chancery_files::rename(names.active(), &aside).map_err(io)?;
    Ok(Some(name(&aside)))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
