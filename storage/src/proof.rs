//! What is known of a generation's logs from elsewhere: that they were made, and how far each was kept.
//!
//! | who knows                           | what                                                         | until when it is true                       |
//! |-------------------------------------|--------------------------------------------------------------|---------------------------------------------|
//! | the manifest                        | that all logs of the generation were made                    | for ever                                    |
//! | a checkpoint in it                  | through which position each log was on disk                  | for ever                                    |
//! | the log's own mark                  | through which position it was kept                           | for ever, or in this boot (`process`)       |
//! | the marks of the other shards' logs | the same, of some moment before                              | as theirs                                   |
//! | the [witness](crate::Witness)       | the same of all logs, of some moment before                  | as theirs                                   |
//!
//! A log that ends before any of it has lost something that was acknowledged.

use crate::StorageError;
use crate::directory::log_directory;
use crate::disk::Disk;
use crate::manifest::Manifest;
use crate::mark::{self, Kept, Mark};
use crate::segment::{self, Identity};
use std::path::Path;
use std::sync::Arc;

/// What is known of a log. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// It was made.
    pub exists: bool,
    /// How far it was kept.
    pub kept: Kept,
}

/// What is known of each shard's log of the manifest's generation.
///
/// ```
/// use pelton_storage::disk::{Disk, Faults, Simulated};
/// use pelton_storage::{Durability, Kind, Log, LogOptions, Manifest, log_directory, proofs};
/// use std::{path::Path, sync::Arc};
///
/// let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
/// let (data, manifest) = (Path::new("/data/job"), Manifest { log_id: 7, shards: 1, begun: true, ..Manifest::default() });
/// assert_eq!(proofs(&disk, data, &manifest)?[0].kept.position, 0);
///
/// let options = LogOptions { durability: Durability::Disk, segment_bytes: 1 << 20, id: 7, generation: 0, shard: 0 };
/// let (mut log, _) = Log::open(&disk, &log_directory(data, 0, 0), &options)?;
/// log.append(41, Kind::Tick, b"hello");
/// log.sync()?;
/// assert_eq!(proofs(&disk, data, &manifest)?[0].kept.tick, 41);
/// # Ok::<(), pelton_storage::StorageError>(())
/// ```
///
/// # Errors
/// When a mark is damaged, or another log's.
pub fn proofs(disk: &Arc<dyn Disk>, data: &Path, manifest: &Manifest) -> Result<Vec<Proof>, StorageError> {
    let Manifest { log_id: id, generation, shards, segment_bytes, begun, ref checkpoints, .. } = *manifest;
    let boot = segment::boot(&disk.boot_id());
    let mark = |shard| {
        let identity = Identity { id, generation, shard, segment_bytes };
        mark::read(&**disk, &mark::path_of(&log_directory(data, generation, shard)), &identity)
    };
    let marks: Vec<Option<Mark>> = (0..shards).map(mark).collect::<Result<_, _>>()?;
    let witness = mark::witnessed(&**disk, data, id, generation)?;
    let here = checkpoints.iter().filter(|checkpoint| checkpoint.generation == generation);
    let proof = |(shard, own): (u16, &Option<Mark>)| {
        let own = own.as_ref().map_or(Kept::default(), |mark| mark.kept(boot));
        let others = marks.iter().flatten().chain(&witness).filter(|mark| mark.holds(boot));
        let others = others.filter_map(|mark| {
            // About when: what the other log held by then.
            Some(Kept { position: mark.position_of(shard)?, tick: mark.kept(boot).tick })
        });
        let saved = here.clone().filter_map(|checkpoint| {
            let position = *checkpoint.positions.get(usize::from(shard))?;
            Some(Kept { position, tick: checkpoint.tick })
        });
        Proof { exists: begun, kept: others.chain(saved).fold(own, Kept::max) }
    };
    Ok((0..shards).zip(&marks).map(proof).collect())
}
