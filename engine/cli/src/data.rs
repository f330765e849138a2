//! A data directory, as a command looks at it: which it is, what is there, and whether a job is at work in it. Nothing is changed.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use pelton_runtime::config::Config;
use pelton_storage::disk::{Blocking, Disk};
use pelton_storage::{Kept, LogScan, Look, Manifest, Presence, StorageError, presence};

use crate::exit::{Misused, program_name};

/// Which data directory.
#[derive(Args, Clone, Debug)]
pub struct DataArg {
    /// The job's data directory [default: `data` of ./pelton.toml, or PELTON_DATA].
    #[arg(value_name = "DATA")]
    data: Option<PathBuf>,
}

impl DataArg {
    /// The directory.
    ///
    /// # Errors
    /// When it is not there, or none is named here or in the configuration.
    pub fn open(&self) -> Result<Data, Box<dyn Error>> {
        if let Some(data) = &self.data {
            return Data::at(data);
        }
        match Config::load()?.data {
            Some(data) => Data::at(&data),
            None => Err(Misused(format!(
                "which data directory? Name it behind the command ({} ... DATA), or set `data` in ./pelton.toml or PELTON_DATA",
                program_name()
            ))
            .into()),
        }
    }
}

/// A data directory.
pub struct Data {
    /// The disk that it is on.
    pub disk: Arc<dyn Disk>,
    /// Where it is.
    pub path: PathBuf,
}

/// Where the log of one shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// The generation of shards.
    pub generation: u32,
    /// The shard.
    pub shard: u16,
    /// The directory.
    pub directory: PathBuf,
}

impl Data {
    /// The data directory at `path`, which must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn at(path: &Path) -> Result<Self, Box<dyn Error>> {
        if !path.is_dir() {
            let what = if path.exists() { "this is no directory" } else { "there is no such directory" };
            return Err(format!("{}: {what}", path.display()).into());
        }
        Ok(Data { disk: Arc::new(Blocking::new()), path: path.to_path_buf() })
    }

    /// What the directory says of itself.
    pub fn manifest(&self) -> Result<Manifest, Box<dyn Error>> {
        let none = || format!("{}: no job has kept anything here; there is no MANIFEST", self.path.display());
        Ok(Manifest::load(&self.disk, &self.path)?.ok_or_else(none)?)
    }

    /// Who is at work here now. Nobody is kept out: tools give way to jobs.
    pub fn presence(&self) -> Result<Presence, StorageError> {
        presence(&self.path)
    }

    /// Whether a job is at work here now.
    pub fn is_in_use(&self) -> Result<bool, StorageError> {
        Ok(self.presence()?.is_in_use)
    }

    /// All logs, by generation and shard.
    pub fn logs(&self) -> Result<Vec<LogPlace>, StorageError> {
        let root = self.path.join("log");
        let mut places = Vec::new();
        for (generation, directory) in self.numbered(&root, "g")? {
            for (shard, directory) in self.numbered(&directory, "shard-")? {
                let (Ok(generation), Ok(shard)) = (u32::try_from(generation), u16::try_from(shard)) else {
                    continue;
                };
                places.push(LogPlace { generation, shard, directory });
            }
        }
        places.sort_by_key(|place| (place.generation, place.shard));
        Ok(places)
    }

    /// What stands in `directory` with a number behind `prefix`.
    fn numbered(&self, directory: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>, StorageError> {
        let names = match self.disk.list(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| StorageError::io("list", directory, error))?,
        };
        let numbered = |name: &String| Some((name.strip_prefix(prefix)?.parse().ok()?, directory.join(name)));
        Ok(names.iter().filter_map(numbered).collect())
    }

    /// Begins to walk through a log; `None` if it was never begun.
    pub fn scan(
        &self,
        place: &LogPlace,
        manifest: &Manifest,
        look: Look,
    ) -> Result<Option<LogScan>, StorageError> {
        self.scan_to(place, manifest, look, Kept::default())
    }

    /// As [`scan`](Self::scan), for a log that was kept so far.
    pub fn scan_to(
        &self,
        place: &LogPlace,
        manifest: &Manifest,
        look: Look,
        kept: Kept,
    ) -> Result<Option<LogScan>, StorageError> {
        /// Looks before a directory that changes meanwhile is given up.
        const LOOKS_MAX: usize = 10;
        let LogPlace { generation, shard, directory } = place;
        let mut looks = 0;
        loop {
            looks += 1;
            let log = (manifest.log_id, *generation, *shard);
            let scan = LogScan::open_to(&self.disk, directory, log, look, kept);
            match scan {
                // A job that gives a file another name between listing and opening.
                Err(StorageError::Io { source, .. })
                    if look == Look::Beside && source.kind() == ErrorKind::NotFound && looks < LOOKS_MAX => {}
                scan => return scan,
            }
        }
    }

    /// The bytes of all files in `directory`; what vanishes while it is looked at does not count.
    pub fn bytes_in(&self, directory: &Path) -> Result<u64, StorageError> {
        use pelton_storage::disk::How;
        let names = match self.disk.list(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| StorageError::io("list", directory, error))?,
        };
        let len = |name: &String| self.disk.open(&directory.join(name), How::Read).ok()?.len().ok();
        Ok(names.iter().filter_map(len).sum())
    }
}
