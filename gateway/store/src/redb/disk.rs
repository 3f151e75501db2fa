//! A disk in memory that loses power, refuses operations and runs full as told. For tests, of this crate and of those
//! whose commits have to be whole.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "it is for tests, in a library only so that several crates can use it"
)]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use ::redb::StorageBackend;
use chancery_identity::Clock;

use super::integrity::open_checked;
use super::space::Space;
use super::{Opener, RedbStore};

/// What power loss cannot split.
const SECTOR: usize = 512;

/// The disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What the operating system shows.
    current: Vec<u8>,
    /// What is on the medium for certain.
    durable: Vec<u8>,
    /// What is written since and may or may not be on the medium.
    pending: Vec<Pending>,
    operations: u64,
    syncs: u64,
    faults: Faults,
}

/// How it fails.
#[derive(Debug, Default)]
pub struct Faults {
    /// The write, growth or sync with this number loses power: that one and all later ones fail.
    pub power_cut: Option<u64>,
    /// The operation with this number fails once.
    pub refusal: Option<(u64, io::ErrorKind)>,
    /// The disk's size.
    pub limit: Option<u64>,
    /// The next read fails once.
    pub unreadable: bool,
    /// Syncs announce themselves here, then wait for an answer.
    gate: Option<Gate>,
}

#[derive(Debug, Clone)]
struct Gate {
    arrived: mpsc::Sender<()>,
    passage: Arc<Mutex<mpsc::Receiver<()>>>,
}

#[derive(Debug)]
enum Pending {
    Sector(usize, Vec<u8>),
    Length(usize),
}

impl Disk {
    /// One with this on it.
    pub fn holding(image: Vec<u8>) -> Self {
        let state = State { current: image.clone(), durable: image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Changes how it fails.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().unwrap().faults);
    }

    /// A store on this disk, with no memory for pages, so that everything passes over the disk.
    pub fn open(&self) -> RedbStore {
        let disk = self.clone();
        let opener: Opener =
            Box::new(move || open_checked(0, |builder| builder.create_with_backend(disk.clone())));
        let space = Space::of(Path::new("/"), 0);
        RedbStore::start(Path::new("simulated"), opener, space, Clock::system()).unwrap()
    }

    /// How many writes, growths and syncs there were.
    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// How many syncs there were.
    pub fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// What the operating system shows.
    pub fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().current.clone()
    }

    /// Stops the next sync: the first result says when it has arrived, the second lets it and all
    /// later ones pass.
    pub fn gate(&self) -> (mpsc::Receiver<()>, impl Fn() + use<>) {
        let (arrived, arrivals) = mpsc::channel();
        let (let_pass, passage) = mpsc::channel();
        let passage = Arc::new(Mutex::new(passage));
        self.faults(|faults| faults.gate = Some(Gate { arrived, passage }));
        let disk = self.clone();
        let open = move || {
            disk.faults(|faults| faults.gate = None);
            let_pass.send(()).unwrap();
        };
        (arrivals, open)
    }

    /// The medium after the power went: what was synced, and of what was not, each sector or change
    /// of length by the luck of `seed`.
    pub fn after_power_cut(&self, seed: u64) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        let mut image = state.durable.clone();
        let mut luck = seed;
        for pending in &state.pending {
            // SplitMix64's step and finaliser.
            luck = luck.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (luck ^ (luck >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            if mixed >> 63 == 0 {
                pending.apply(&mut image);
            }
        }
        image
    }
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.faults.power_cut.is_some_and(|number| self.operations >= number) {
            return Err(io::Error::other("no power"));
        }
        match self.faults.refusal {
            Some((number, kind)) if number == self.operations => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn perform(&mut self, pending: Pending) {
        pending.apply(&mut self.current);
        self.pending.push(pending);
    }
}

impl Pending {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Sector(offset, data) => {
                let end = offset + data.len();
                image.resize(image.len().max(end), 0);
                image[*offset..end].copy_from_slice(data);
            }
            Self::Length(length) => image.resize(*length, 0),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if std::mem::take(&mut state.faults.unreadable) {
            return Err(io::Error::other("unreadable sector"));
        }
        let offset = usize::try_from(offset).unwrap();
        let read = state.current.get(offset..offset + out.len());
        out.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate()?;
        if state.faults.limit.is_some_and(|limit| len > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.perform(Pending::Length(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let gate = self.0.lock().unwrap().faults.gate.clone();
        if let Some(gate) = gate {
            gate.arrived.send(()).unwrap();
            gate.passage.lock().unwrap().recv().unwrap();
        }
        let mut state = self.0.lock().unwrap();
        state.operate()?;
        state.syncs += 1;
        for pending in std::mem::take(&mut state.pending) {
            pending.apply(&mut state.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate()?;
        let start = usize::try_from(offset).unwrap();
        for (number, sector) in data.chunks(SECTOR).enumerate() {
            state.perform(Pending::Sector(start + number * SECTOR, sector.to_vec()));
        }
        Ok(())
    }
}
