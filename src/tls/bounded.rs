//! Reads a file of certificates or keys, whatever has its name: nothing endless, no wait for a pipe.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

/// A chain with a key of the longest kind takes a tenth of it.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What is in the file, and its mode.
pub(super) fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let large = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::other(large));
    }
    Ok((bytes, meta.permissions().mode()))
}
