//! Finds the file and reads it: the settings, and secrets that are in files of their own.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use crate::config::env::{self, Places, Vars};
use crate::config::note::{Place, Problems, quoted};

/// A file larger than this is not a configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file larger than this is not a password or a key.
const SECRET_BYTES_MAX: u64 = 4096;

const OTHERS_MAY_READ: u32 = 0o004;
const OTHERS_MAY_WRITE: u32 = 0o002;

/// The settings file as it was found.
#[derive(Default)]
pub(super) struct Source {
    /// None when there is no file anywhere: then the text is empty.
    pub(super) path: Option<PathBuf>,
    pub(super) text: String,
    pub(super) others_may_read: bool,
    pub(super) others_may_write: bool,
}

impl Source {
    pub(super) fn place(&self, line: usize) -> Place {
        self.path
            .as_ref()
            .map_or(Place::Default, |path| Place::File {
                path: path.display().to_string().into(),
                line,
            })
    }
}

/// The file that was asked for, or the first of the usual ones.
pub(super) fn source(asked: Option<&Path>, vars: &dyn Vars) -> Result<Source, Problems> {
    let named = asked
        .map(Path::to_owned)
        .or_else(|| vars.value(env::CONFIG).map(PathBuf::from));
    if let Some(path) = named {
        let missing = || problem(&path, "there is no such file");
        return text(&path, &Found::Named)?.ok_or_else(missing);
    }
    let usual = Places::of(vars).config;
    if let Some(source) = text(&usual, &Found::Usual)? {
        return Ok(source);
    }
    let here = text(Path::new(HERE), &Found::Here(ours(vars)))?;
    Ok(here.unwrap_or_default())
}

/// In the current directory.
const HERE: &str = "thon.yaml";

/// How one came to this file.
enum Found {
    /// Somebody asked for it, be it a pipe.
    Named,
    Usual,
    /// Whoever can write to the current directory put it there: only one of these is believed.
    Here(Vec<u32>),
}

/// Root, who we are, and who asked root by `sudo`.
fn ours(vars: &dyn Vars) -> Vec<u32> {
    let me = geteuid();
    let asked = vars.value(env::SUDO_UID).filter(|_| me.is_root());
    let asked = asked.and_then(|uid| uid.parse().ok());
    [Some(0), Some(me.as_raw()), asked]
        .into_iter()
        .flatten()
        .collect()
}

fn open(path: &Path, found: &Found) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    if !matches!(found, Found::Named) {
        // A pipe in the file's place would wait for its writer.
        options.custom_flags(OFlag::O_NONBLOCK.bits());
    }
    let file = options.read(true).open(path)?;
    let meta = file.metadata()?;
    match found {
        Found::Usual | Found::Here(_) if !meta.is_file() => {
            return Err(io::Error::other("it is no file"));
        }
        Found::Here(ours) if !ours.contains(&meta.uid()) => {
            return Err(io::Error::other(
                "it was found in the current directory and belongs to another account: name it with `--config` if it is meant",
            ));
        }
        _ => {}
    }
    Ok((file, meta))
}

fn text(path: &Path, found: &Found) -> Result<Option<Source>, Problems> {
    let read = || -> io::Result<(Vec<u8>, Metadata)> {
        let (file, meta) = open(path, found)?;
        Ok((at_most(file, FILE_BYTES_MAX)?, meta))
    };
    let (bytes, meta) = match read() {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(path, format!("cannot be read: {error}"))),
    };
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(problem(path, "larger than 1 MiB: not a settings file"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| problem(path, "not UTF-8 text: not a settings file"))?;
    Ok(Some(Source {
        path: Some(path.to_owned()),
        text,
        // A terminal or `/dev/null` keeps nothing for anybody.
        others_may_read: meta.is_file() && meta.mode() & OTHERS_MAY_READ != 0,
        others_may_write: meta.is_file() && meta.mode() & OTHERS_MAY_WRITE != 0,
    }))
}

/// One byte more than that, for whoever wants to know that there is more.
fn at_most(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a file of its own says, and whether everybody on the host may read it.
pub(super) struct SecretFile {
    pub(super) text: String,
    pub(super) others_may_read: bool,
}

/// The secret in a file, without the end of its line. The error says what is wrong with the file and
/// nothing of what is in it.
pub(super) fn secret(path: &str) -> Result<SecretFile, String> {
    let shown = quoted(path);
    if !Path::new(path).is_absolute() {
        return Err(format!("{shown} is not accepted: write an absolute path"));
    }
    let read = || -> io::Result<(Vec<u8>, Metadata)> {
        let mut options = OpenOptions::new();
        // A pipe in the file's place would wait for its writer.
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let file = options.open(path)?;
        let meta = file.metadata()?;
        let bytes = if meta.is_file() {
            at_most(file, SECRET_BYTES_MAX)?
        } else {
            Vec::new()
        };
        Ok((bytes, meta))
    };
    let (bytes, meta) = read().map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if !meta.is_file() {
        return Err(format!("{shown} is no file"));
    }
    if meta.mode() & OTHERS_MAY_WRITE != 0 {
        return Err(format!(
            "{shown} may be written by everybody on this host: chmod 600 it"
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not text"))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!(
            "{shown} is larger than 4 KiB: that is no password or key"
        ));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(SecretFile {
        text: text.to_owned(),
        others_may_read: meta.mode() & OTHERS_MAY_READ != 0,
    })
}

fn problem(path: &Path, message: impl Into<String>) -> Problems {
    let path = path.display().to_string().into();
    Problems::one(&Place::File { path, line: 0 }, message)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(text: &str, mode: u32) -> Result<SecretFile, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        secret(path.to_str().unwrap())
    }

    #[test]
    fn a_secret_ends_where_its_line_ends() {
        assert_eq!(read("s3cret\r\n", 0o600).unwrap().text, "s3cret");
        assert_eq!(read("two words \n", 0o640).unwrap().text, "two words ");
        assert!(read("s3cret", 0o644).unwrap().others_may_read);
        assert!(!read("s3cret", 0o640).unwrap().others_may_read);
    }

    #[test]
    fn a_secret_file_that_cannot_be_one_is_refused() {
        let error = |text: &str, mode| read(text, mode).err().unwrap_or_default();
        assert!(error("", 0o600).contains("is empty"));
        assert!(error("\n", 0o600).contains("is empty"));
        assert!(error("s3cret", 0o666).contains("may be written by everybody"));
        assert!(error(&"x".repeat(5000), 0o600).contains("larger than 4 KiB"));
        let error = |path| secret(path).err().unwrap_or_default();
        assert!(error("/dev/zero").contains("is no file"));
        assert!(error("/nowhere/at/all").contains("cannot be read"));
        assert!(error("secret").contains("absolute path"));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_secret_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(secret(path.to_str().unwrap()).is_err_and(|error| error.contains("is no file")));
    }

    #[test]
    fn a_settings_file_without_end_is_not_read_to_the_end() {
        let problems = text(Path::new("/dev/zero"), &Found::Named).err().unwrap();
        assert!(
            problems.to_string().contains("larger than 1 MiB"),
            "{problems}"
        );
    }
}
