//! `Overlay`: a file that is read and never written; what redb writes stays in memory.
//!
//! redb writes into a file by opening it, and mends one that was not closed. A file of a newer
//! version, or a damaged one, must not be touched before we know what it is.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use parking_lot::Mutex;
use redb::StorageBackend;

const BLOCK: u64 = 4096;

#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file is still its own: it was never cut shorter than that.
    file_len: u64,
    blocks: HashMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            written: Mutex::new(Written {
                len,
                file_len: len,
                blocks: HashMap::new(),
            }),
        })
    }
}

impl Written {
    /// The block as the file has it, with zeros behind its end.
    fn untouched(&self, file: &File, number: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; usize::try_from(BLOCK).unwrap_or_default()];
        let start = number * BLOCK;
        let there = self.file_len.saturating_sub(start).min(BLOCK);
        let there = usize::try_from(there).unwrap_or_default();
        if let Some(head) = block.get_mut(..there) {
            file.read_exact_at(head, start)?;
        }
        Ok(block)
    }
}

/// The parts of `offset..offset + len`, block by block: number, start in it, length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (number, within) = (at / BLOCK, at % BLOCK);
        let length = (BLOCK - within).min(end - at);
        at += length;
        let usize = |n: u64| usize::try_from(n).unwrap_or_default();
        Some((number, usize(within), usize(length)))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        if offset + out.len() as u64 > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, within, length) in parts(offset, rest.len()) {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(length);
            let own;
            let block = if let Some(block) = written.blocks.get(&number) {
                block
            } else {
                own = written.untouched(&self.file, number)?;
                &own
            };
            if let Some(bytes) = block.get(within..within + length) {
                now.copy_from_slice(bytes);
            }
            rest = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        if len < written.len {
            written.file_len = written.file_len.min(len);
            written.blocks.retain(|number, _| number * BLOCK < len);
            let last = usize::try_from(len % BLOCK).unwrap_or_default();
            if let Some(block) = written.blocks.get_mut(&(len / BLOCK)) {
                block.iter_mut().skip(last).for_each(|byte| *byte = 0);
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        let mut rest = data;
        for (number, within, length) in parts(offset, data.len()) {
            let (now, later) = rest.split_at(length);
            if !written.blocks.contains_key(&number) {
                let block = written.untouched(&self.file, number)?;
                written.blocks.insert(number, block);
            }
            let block = written.blocks.get_mut(&number);
            if let Some(bytes) = block.and_then(|block| block.get_mut(within..within + length)) {
                bytes.copy_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays_as_it_was() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let before: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        file.write_all(&before).unwrap();
        let overlay = Overlay::new(File::open(file.path()).unwrap()).unwrap();
        let mut expected = before.clone();
        expected[4_000..9_000].fill(7);
        overlay.write(4_000, &[7; 5_000]).unwrap();
        overlay.set_len(9_500).unwrap();
        expected.truncate(9_500);
        overlay.set_len(20_000).unwrap();
        expected.resize(20_000, 0);
        let mut read = vec![0; 20_000];
        overlay.read(0, &mut read).unwrap();
        assert_eq!(read, expected);
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
    }
}
