//! A real file system whose flushes fail when told to.
//!
//! ```text
//!  ext4, mounted at DIR/disk    what the job keeps its data on
//!  loop device
//!  a sparse file of 1 GB        on a tmpfs of 160 MB, mounted at DIR/backing
//! ```
//!
//! While the tmpfs has room the file system works. [`FaultyDisk::fail`] fills it up: the file system still promises space that is not there, so writes
//! succeed in memory, and the flush behind them fails, as it does on a thinly provisioned volume. [`FaultyDisk::mend`] makes room, drops
//! what was never flushed by mounting anew, and has the file system repaired.
//!
//! Needs root, loop devices and `mkfs.ext4`.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TMPFS_BYTES: &str = "size=160m";
const FILE_BYTES: u64 = 1 << 30;
/// How long an unmounting may be refused because the kernel is still busy there.
const BUSY: Duration = Duration::from_secs(10);

/// The file system.
pub struct FaultyDisk {
    directory: PathBuf,
    device: Option<String>,
}

/// Runs a tool; what it says is part of the error.
fn run(tool: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(tool).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {tool}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{tool} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl FaultyDisk {
    /// Makes one in `directory`.
    ///
    /// # Errors
    /// When this machine does not allow it, with what it said.
    pub fn new(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let mut disk = FaultyDisk { directory: directory.to_owned(), device: None };
        disk.make().map_err(|error| {
            format!(
                "--faults needs root, loop devices and mkfs.ext4, and this machine does not allow it: {error}"
            )
        })?;
        Ok(disk)
    }

    /// Where the file system is.
    pub fn path(&self) -> PathBuf {
        self.directory.join("disk")
    }

    fn backing(&self) -> PathBuf {
        self.directory.join("backing")
    }

    fn make(&mut self) -> Result<(), Box<dyn Error>> {
        let (backing, disk) = (self.backing(), self.path());
        fs::create_dir_all(&backing)?;
        fs::create_dir_all(&disk)?;
        run("mount", &["-t", "tmpfs", "-o", TMPFS_BYTES, "tmpfs", &text(&backing)])?;
        let image = backing.join("image");
        File::create(&image)?.set_len(FILE_BYTES)?;
        run("mkfs.ext4", &["-q", "-J", "size=8", &text(&image)])?;
        self.device = Some(run("losetup", &["-f", "--show", &text(&image)])?);
        self.mount()
    }

    fn mount(&self) -> Result<(), Box<dyn Error>> {
        let device = self.device.as_deref().unwrap_or_default();
        run("mount", &["-o", "errors=remount-ro", device, &text(&self.path())]).map(drop)
    }

    fn unmount(&self) -> Result<(), Box<dyn Error>> {
        let until = Instant::now() + BUSY;
        loop {
            match run("umount", &[&text(&self.path())]) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// From now on flushes of anything new fail.
    pub fn fail(&self) -> Result<(), Box<dyn Error>> {
        let mut filler = File::create(self.backing().join("filler"))?;
        let zeros = vec![0; 64 << 10];
        // Until there is no room for any more.
        while filler.write_all(&zeros).is_ok() {}
        Ok(())
    }

    /// Repairs it: everything that was flushed is there, and nothing else need be.
    pub fn mend(&self) -> Result<(), Box<dyn Error>> {
        fs::remove_file(self.backing().join("filler"))?;
        self.unmount()?;
        let device = self.device.as_deref().unwrap_or_default();
        let checked = Command::new("e2fsck").args(["-fy", device]).stdin(Stdio::null()).output()?;
        // 1: errors were found and corrected.
        if !matches!(checked.status.code(), Some(0 | 1)) {
            return Err(format!("e2fsck: {}", String::from_utf8_lossy(&checked.stdout)).into());
        }
        self.mount()
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        // What was never made cannot be undone, and need not be.
        if let Some(device) = &self.device {
            let _ = self.unmount();
            let _ = run("losetup", &["-d", device]);
        }
        let _ = run("umount", &[&text(&self.backing())]);
    }
}
