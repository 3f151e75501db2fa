//! Reading the lines of a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::line::{self, Link, MAX_LINE};

/// How much is read at once.
const BUFFER: usize = 1 << 16;
/// How a packed file begins (RFC 1952 §2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];

/// A file that is read line by line, of which it holds one at a time.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    /// Offset of what is read next.
    at: u64,
    /// How many lines were read.
    number: u64,
    buffer: Vec<u8>,
}

/// What comes next in a file.
pub(crate) enum Next<'a> {
    /// A line of a log.
    Line(Line<'a>),
    /// A line of something else.
    Malformed,
    /// A line without an end, the last thing in the file.
    Torn(&'a [u8]),
    /// Nothing.
    End,
}

/// A line where it stands.
pub(crate) struct Line<'a> {
    pub(crate) link: Link,
    /// Without its newline.
    pub(crate) text: &'a [u8],
    /// Offset where it begins.
    pub(crate) start: u64,
    /// Offset after its newline.
    pub(crate) end: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::at(File::open(path)?, 0)
    }

    /// The same for a file that may be packed with gzip. It is unpacked as it is read, a line at a time.
    pub(crate) fn open_packed(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
        let is_packed = file.fill_buf()?.starts_with(GZIP);
        let reader: Box<dyn BufRead> = if is_packed {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self::of(reader, 0))
    }

    /// From an offset on.
    pub(crate) fn at(mut file: File, start: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(start))?;
        Ok(Self::of(Box::new(BufReader::with_capacity(BUFFER, file)), start))
    }

    fn of(reader: Box<dyn BufRead>, at: u64) -> Self {
        Self { reader, at, number: 0, buffer: Vec::new() }
    }

    /// How many lines were read, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        self.buffer.clear();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(Next::End);
        }
        let start = self.at;
        self.at += u64::try_from(read).unwrap_or(u64::MAX);
        let Some(text) = self.buffer.strip_suffix(b"\n") else {
            if read < MAX_LINE {
                return Ok(Next::Torn(&self.buffer));
            }
            self.number += 1;
            return Ok(Next::Malformed);
        };
        self.number += 1;
        let Some(link) = line::read(text) else { return Ok(Next::Malformed) };
        Ok(Next::Line(Line { link, text, start, end: self.at }))
    }
}
