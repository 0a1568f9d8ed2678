//! Where recordings lie, and which of them is meant.
//!
//! `DIR/2026-11-22/<id>.jrec`, as jumpd writes them; copies may also lie in
//! DIR itself. The directory belongs to jumpd and root reads it, so nothing in
//! it is followed elsewhere, and nothing but a regular file is opened.

use crate::error::Error;
use crate::output::printable;
use jump_proto::paths;
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What their names end with.
const SUFFIX: &str = "jrec";
/// Digits of an id in lists, where they are enough to tell all apart.
const SHORT: usize = 8;

/// One recording's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file's name without its end: the id, unless somebody renamed it.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Named by the operator as a path: may be a link, and may have any name.
    pub(super) named: bool,
}

impl Place {
    /// Opens it for reading.
    pub(super) fn open(&self) -> Result<File, Error> {
        // A pipe put in the place of a recording must not make us wait.
        let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        if !self.named {
            flags |= OFlag::O_NOFOLLOW;
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(&self.path)
            .map_err(|e| unreadable(&self.path, e))?;
        let kind = file.metadata().map_err(|e| unreadable(&self.path, e))?;
        if kind.is_file() {
            Ok(file)
        } else {
            Err(Error::failed(format!(
                "{} is no regular file",
                self.path.display()
            )))
        }
    }
}

/// A directory of recordings.
pub(super) struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Everything in it, by day and name.
    pub(super) fn all(&self) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        let mut days = Vec::new();
        for (path, is_directory) in self.entries(&self.dir)? {
            if is_directory {
                days.push(path);
            } else {
                places.extend(place(path));
            }
        }
        for day in days {
            let files = self.entries(&day)?;
            let files = files.into_iter().filter(|(_, directory)| !directory);
            places.extend(files.filter_map(|(path, _)| place(path)));
        }
        places.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(places)
    }

    /// What is in a directory, and whether it is one itself; links are neither.
    fn entries(&self, dir: &Path) -> Result<Vec<(PathBuf, bool)>, Error> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            // Nothing was ever recorded here; or a day was deleted just now.
            Err(e)
                if e.kind() == io::ErrorKind::NotFound
                    && (dir != self.dir || dir == Path::new(paths::RECORDINGS)) =>
            {
                return Ok(Vec::new());
            }
            Err(e) => return Err(unreadable(dir, e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| unreadable(dir, e))?;
            let kind = entry.file_type().map_err(|e| unreadable(dir, e))?;
            if kind.is_dir() || kind.is_file() {
                found.push((entry.path(), kind.is_dir()));
            }
        }
        Ok(found)
    }

    /// The one that is meant by an id, the beginning of one, or a path.
    pub(super) fn find(&self, which: &str) -> Result<Place, Error> {
        self.look_up(which)?
            .ok_or_else(|| Error::failed(no_such(which)))
    }

    /// As [`Shelf::find`]; `None` if there is none.
    pub(super) fn look_up(&self, which: &str) -> Result<Option<Place>, Error> {
        if which.contains('/') || which.ends_with(&format!(".{SUFFIX}")) {
            let path = PathBuf::from(which);
            let name = path.file_stem().unwrap_or_default();
            return Ok(Some(Place {
                name: name.to_string_lossy().into_owned(),
                path,
                named: true,
            }));
        }
        one(self.all()?, which)
    }
}

/// The one whose name begins like this.
fn one(places: Vec<Place>, which: &str) -> Result<Option<Place>, Error> {
    let fits = |place: &Place| !which.is_empty() && place.name.starts_with(which);
    if let Some(exact) = places.iter().find(|place| place.name == which) {
        return Ok(Some(exact.clone()));
    }
    let mut fitting = places.into_iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (one, None) => Ok(one),
        (_, Some(_)) => Err(Error::Usage(format!(
            "several recordings have an id that begins with {which:?}; give more of it"
        ))),
    }
}

/// What is said where none is meant.
pub(super) fn no_such(which: &str) -> String {
    format!(
        "there is no recording whose id begins with {}; see `jumpctl recordings list`",
        printable(&format!("{which:?}"))
    )
}

fn place(path: PathBuf) -> Option<Place> {
    let right = path.extension().is_some_and(|suffix| suffix == SUFFIX);
    let name = path.file_stem()?.to_string_lossy().into_owned();
    right.then_some(Place {
        name,
        path,
        named: false,
    })
}

/// So many digits tell these names apart.
pub(super) fn short(names: &[&str]) -> usize {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let same = |pair: &[&str]| match pair {
        [a, b] if a != b => a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count(),
        _ => 0,
    };
    let same = sorted.windows(2).map(same).max().unwrap_or(0);
    SHORT.max(same + 1)
}

pub(super) fn unreadable(path: &Path, e: io::Error) -> Error {
    let ours = path.starts_with(paths::RECORDINGS) && !nix::unistd::geteuid().is_root();
    if ours && e.kind() == io::ErrorKind::PermissionDenied {
        return Error::NotRoot;
    }
    Error::file("read", path, e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(names: &[&str]) -> Vec<Place> {
        let place = |name: &&str| place(PathBuf::from(format!("/r/2026-03-02/{name}.jrec")));
        names.iter().filter_map(place).collect()
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_while_it_is_unique() {
        let all = ["ab01", "ab02", "cd", "cdef"];
        let named = |which| one(places(&all), which).map(|found| found.map(|place| place.name));
        assert_eq!(named("ab01").unwrap().as_deref(), Some("ab01"));
        assert_eq!(named("cde").unwrap().as_deref(), Some("cdef"));
        assert_eq!(named("cd").unwrap().as_deref(), Some("cd"), "exactly this");
        assert_eq!(named("ff").unwrap(), None);
        assert_eq!(named("").unwrap(), None);
        assert!(named("ab").is_err());
    }

    #[test]
    fn ids_are_as_short_as_they_may_be() {
        assert_eq!(short(&["0123456789", "ff"]), 8);
        assert_eq!(short(&["01234567890", "01234567891", "f"]), 11);
        assert_eq!(short(&["same", "same"]), 8);
        assert_eq!(short(&[]), 8);
    }

    #[test]
    fn only_regular_files_are_opened_and_no_link_of_the_directorys_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("2026-03-02");
        fs::create_dir(&day).unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        fs::write(day.join("aa.jrec"), "x").unwrap();
        fs::write(day.join("aa.position"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), day.join("bb.jrec")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        nix::unistd::mkfifo(&day.join("cc.jrec"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let shelf = Shelf::new(dir.path().to_owned());
        let names = |places: &[Place]| places.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&shelf.all().unwrap()), ["aa"]);
        for name in ["bb", "cc"] {
            let mut place = shelf.find("aa").unwrap();
            place.path = day.join(format!("{name}.jrec"));
            assert!(place.open().is_err(), "{name}");
        }
        let named = day.join("bb.jrec").display().to_string();
        assert!(shelf.find(&named).unwrap().open().is_ok(), "she named it");
        let fifo = day.join("cc.jrec").display().to_string();
        assert!(shelf.find(&fifo).unwrap().open().is_err());
    }
}
