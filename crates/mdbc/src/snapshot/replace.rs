//! A new database in the place of the old one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// How many old databases are kept beside the one in use.
const KEPT_MAX: u32 = 8;

/// What SQLite puts beside a database.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file beside the database: its name with a word behind it.
pub(super) fn beside(path: &Path, word: &str) -> PathBuf {
    with_suffix(path, &format!(".{word}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Where a snapshot is, until it is the database.
pub(super) fn restoring(path: &Path) -> PathBuf {
    beside(path, "restoring")
}

/// Removes what a process left beside its database that ended in a restore. The
/// database is not open.
pub(crate) fn tidy(path: &Path) {
    for word in ["restoring", "donation"] {
        let left = beside(path, word);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            remove(&with_suffix(&left, suffix));
        }
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => tracing::info!(path = %path.display(), "a file of a restore is removed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "it cannot be removed"),
    }
}

/// A step of a replacement.
type Step = Box<dyn Fn() -> io::Result<()>>;

/// Puts the restored file in the place of the database, which nobody has open and
/// whose write-ahead log is empty. Where the old one is kept, its new name is
/// returned.
///
/// At whatever step this ends, the database is the old one or the new one.
///
/// # Errors
///
/// When the file system refuses, or too many old databases are kept already; the
/// database is the old one then.
pub(super) fn replace(path: &Path, is_kept: bool) -> io::Result<Option<PathBuf>> {
    let kept = if is_kept {
        Some(free_name(path)?)
    } else {
        None
    };
    for step in steps(path, kept.clone()) {
        step()?;
    }
    Ok(kept)
}

fn free_name(path: &Path) -> io::Result<PathBuf> {
    let mut names = (1..=KEPT_MAX).map(|number| beside(path, &format!("before-{number}")));
    let free = names.find(|name| !name.exists());
    free.ok_or_else(|| {
        io::Error::other(format!(
            "{KEPT_MAX} old databases are kept already: remove those of {}.before-* that nobody \
             needs",
            path.display()
        ))
    })
}

fn steps(path: &Path, kept: Option<PathBuf>) -> Vec<Step> {
    let (path, new) = (path.to_owned(), restoring(path));
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut steps: Vec<Step> = Vec::new();
    let durable = new.clone();
    steps.push(Box::new(move || File::open(&durable)?.sync_all()));
    let old = path.clone();
    match kept {
        // The old one has two names for a moment, rather than none.
        Some(kept) => steps.push(Box::new(move || match fs::hard_link(&old, &kept) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                fs::copy(&old, &kept)?;
                File::open(&kept)?.sync_all()
            }
            linked => linked,
        })),
        // What a lost file left would be taken for the new one's.
        None => steps.push(Box::new(move || {
            if !old.exists() {
                for suffix in SUFFIXES {
                    remove(&with_suffix(&old, suffix));
                }
            }
            Ok(())
        })),
    }
    steps.push(Box::new(move || fs::rename(&new, &path)));
    steps.push(Box::new(move || File::open(&folder)?.sync_all()));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn whatever_step_is_the_last_the_database_is_the_old_or_the_new_one() {
        for is_kept in [true, false] {
            let count = steps(Path::new("x"), is_kept.then(|| "y".into())).len();
            for done in 0..=count {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("site.db");
                fs::write(&path, "old").unwrap();
                fs::write(restoring(&path), "new").unwrap();
                let kept = is_kept.then(|| beside(&path, "before-1"));
                for step in steps(&path, kept).iter().take(done) {
                    step().unwrap();
                }
                // The process ends here, and starts again.
                tidy(&path);
                let wanted = if done > 2 { "new" } else { "old" };
                assert_eq!(fs::read_to_string(&path).unwrap(), wanted, "{done}");
                if is_kept && done > 2 {
                    let before = fs::read_to_string(beside(&path, "before-1")).unwrap();
                    assert_eq!(before, "old");
                }
            }
        }
    }

    #[test]
    fn old_databases_are_kept_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.db");
        fs::write(&path, "0").unwrap();
        for number in 1..=KEPT_MAX {
            fs::write(restoring(&path), number.to_string()).unwrap();
            assert!(replace(&path, true).unwrap().is_some());
        }
        assert_eq!(files(folder.path()).len(), 9);
        fs::write(restoring(&path), "more").unwrap();
        let error = replace(&path, true).unwrap_err().to_string();
        assert!(error.contains("before-"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "8");
    }

    #[test]
    fn a_write_ahead_log_without_its_database_is_not_the_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.db");
        fs::write(with_suffix(&path, "-wal"), "of a lost file").unwrap();
        fs::write(restoring(&path), "new").unwrap();
        replace(&path, false).unwrap();
        assert_eq!(files(folder.path()), ["site.db"]);
    }
}
