//! `Disk`: a disk in memory that remembers every write, loses what was not synced, and can be full.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    live: Vec<u8>,
    /// What was on it when it was made.
    first: Vec<u8>,
    /// What was written from one sync to the next.
    epochs: Vec<Vec<Write>>,
    unsynced: Vec<Write>,
    /// Writes and syncs until it is full.
    room: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Len(u64),
    Bytes(u64, Arc<[u8]>),
}

impl Write {
    pub(crate) fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Len(len) => image.resize(usize::try_from(*len).unwrap(), 0),
            Self::Bytes(offset, bytes) => {
                let start = usize::try_from(*offset).unwrap();
                let end = start + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[start..end].copy_from_slice(bytes);
            }
        }
    }

    /// Only the first sectors of it reached the disk.
    pub(crate) fn torn(&self, sectors: usize) -> Self {
        match self {
            Self::Len(len) => Self::Len(*len),
            Self::Bytes(offset, bytes) => {
                let kept = bytes.len().min(sectors * 512);
                Self::Bytes(*offset, bytes[..kept].into())
            }
        }
    }
}

/// What is durable before a sync, and what may or may not be.
pub(crate) struct Cut {
    pub(crate) durable: Vec<u8>,
    pub(crate) unsynced: Vec<Write>,
}

impl Cut {
    /// The disk with these of the unsynced writes on it.
    pub(crate) fn with(&self, kept: impl IntoIterator<Item = Write>) -> Disk {
        let mut image = self.durable.clone();
        for write in kept {
            write.apply(&mut image);
        }
        Disk::holding(image)
    }
}

impl Disk {
    pub(crate) fn holding(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            live: image.clone(),
            first: image,
            ..State::default()
        })))
    }

    /// Another disk with the same on it, all of it durable.
    pub(crate) fn copy(&self) -> Self {
        Self::holding(self.0.lock().live.clone())
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.0.lock().live.clone()
    }

    pub(crate) fn syncs(&self) -> usize {
        self.0.lock().epochs.len()
    }

    /// It is full after so many writes, until somebody makes room.
    pub(crate) fn fill_after(&self, writes: u64) {
        self.0.lock().room = Some(writes);
    }

    /// Says whether it was full.
    pub(crate) fn make_room(&self) -> bool {
        self.0.lock().room.take() == Some(0)
    }

    /// One for each sync, in order.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        let state = self.0.lock();
        let mut durable = state.first.clone();
        let mut cuts = Vec::new();
        for epoch in &state.epochs {
            cuts.push(Cut {
                durable: durable.clone(),
                unsynced: epoch.clone(),
            });
            for write in epoch {
                write.apply(&mut durable);
            }
        }
        cuts
    }
}

impl State {
    fn take_room(&mut self) -> io::Result<()> {
        match &mut self.room {
            None => Ok(()),
            Some(0) => Err(io::Error::from_raw_os_error(28)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn write(&mut self, write: Write) -> io::Result<()> {
        self.take_room()?;
        write.apply(&mut self.live);
        self.unsynced.push(write);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock();
        let start = usize::try_from(offset).unwrap();
        let there = state.live.get(start..start + out.len());
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().write(Write::Len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.take_room()?;
        let epoch = std::mem::take(&mut state.unsynced);
        state.epochs.push(epoch);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().write(Write::Bytes(offset, data.into()))
    }
}
