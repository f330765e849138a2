//! Which driver a job runs under, where the configuration leaves that to the machine.

use crate::config::{Config, DriverKind};
use crate::probe::{IoUringBlocked, probe_io_uring};

/// The driver that a job runs under, and why it is that one, where somebody may have expected the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenDriver {
    /// [`DriverKind::Glommio`] or [`DriverKind::Threads`], never [`DriverKind::Auto`].
    pub kind: DriverKind,
    /// One line about it: why io_uring is not used although that was left open.
    pub note: Option<String>,
}

impl Config {
    /// Decides what drives the job: what `driver` says, or, where that is "auto", glommio if io_uring can be used here, and plain threads
    /// otherwise. Makes one small ring to find out.
    ///
    /// ```
    /// use pelton::config::{Config, DriverKind};
    ///
    /// let chosen = Config { driver: DriverKind::Auto, ..Config::default() }.choose_driver()?;
    /// assert!(chosen.kind != DriverKind::Auto);
    /// assert_eq!(chosen.kind == DriverKind::Threads, chosen.note.is_some());
    /// # Ok::<(), pelton_runtime::IoUringBlocked>(())
    /// ```
    ///
    /// # Errors
    /// When glommio was asked for by name, and io_uring cannot be used.
    pub fn choose_driver(&self) -> Result<ChosenDriver, IoUringBlocked> {
        let chosen = |kind| Ok(ChosenDriver { kind, note: None });
        match self.driver {
            DriverKind::Threads => chosen(DriverKind::Threads),
            DriverKind::Glommio => probe_io_uring().and_then(|()| chosen(DriverKind::Glommio)),
            DriverKind::Auto => match probe_io_uring() {
                Ok(()) => chosen(DriverKind::Glommio),
                Err(blocked) => {
                    let note = format!("the job runs on plain threads, since {}", blocked.cause());
                    Ok(ChosenDriver { kind: DriverKind::Threads, note: Some(note) })
                }
            },
        }
    }
}
