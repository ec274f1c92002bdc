//! The directory in which the count of spent credits lies: one file, replaced as a whole, and a
//! lock for as long as a process counts in it. Blocks; not for async threads while serving.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::form::{self, Record};

/// The file's name in the directory.
const FILE: &str = "credits.json";

/// What is locked. A file of its own, since the other is replaced with each write.
const LOCK: &str = "credits.lock";

/// Why the count of spent credits cannot be kept, or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file is none that this version wrote.
    #[error(
        "{path}: {why}, so it is not known how many of the month's credits are spent. Repair it, \
         put back a copy of it, or remove it to count this month from zero"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another process counts there.
    #[error(
        "{dir}: another process keeps its credits here (upstream.state_dir): stop it, or give \
         each process a directory and a key of its own"
    )]
    InUse {
        /// The directory.
        dir: String,
    },
    /// The directory or a file in it cannot be used.
    #[error("cannot {what} {path} (upstream.state_dir): {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// What came of it.
        error: io::Error,
    },
}

impl StateError {
    /// Whether starting again can only fail again, until somebody has mended something.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

/// The directory while it is ours.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    // Unlocked when it is closed.
    _lock: File,
}

impl Store {
    /// Makes the directory where it is not there, locks it, and reads what it holds.
    ///
    /// # Errors
    /// When the directory cannot be used, or another process uses it, or the file is damaged.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Record>), StateError> {
        let failed = |what, path: &Path| {
            let path = path.display().to_string();
            move |error| StateError::Io { what, path, error }
        };
        make(dir).map_err(failed("make the directory", dir))?;
        let lock = dir.join(LOCK);
        let file = File::options().create(true).append(true).open(&lock);
        let file = file.map_err(failed("open", &lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::InUse { dir: dir.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &lock)(error)),
        }
        let store = Self { dir: dir.to_owned(), _lock: file };
        let path = store.path();
        let records = match fs::read_to_string(&path) {
            Ok(text) => form::read(&text)
                .map_err(|why| StateError::Unreadable { path: path.display().to_string(), why })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let (path, why) = (path.display().to_string(), "it is no text".to_owned());
                return Err(StateError::Unreadable { path, why });
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        // Better now than when the first block is spent.
        store.write(&records).map_err(failed("write", &path))?;
        Ok((store, records))
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Replaces the file: whatever happens meanwhile, it is the old one or the new one. When this
    /// returns, it will be the new one also after a loss of power.
    ///
    /// # Errors
    /// Those of the file system; the file may then be either.
    pub fn write(&self, records: &[Record]) -> io::Result<()> {
        let text = form::write(records).map_err(io::Error::other)?;
        let new = self.dir.join(format!("{FILE}.new"));
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, self.path())?;
        File::open(&self.dir)?.sync_all()
    }
}

/// Makes a directory and those above it, so that they are there also after a loss of power.
fn make(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|above| !above.exists()).collect();
    fs::create_dir_all(dir)?;
    for made in missing {
        let parent = match made.parent() {
            // A relative path of one name lies where the process runs.
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
            None => continue,
        };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
