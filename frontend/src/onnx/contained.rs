//! Opening a file that cannot lie outside a given folder.
//!
//! Names come from untrusted files. They are not judged as strings: the kernel resolves them below the folder's
//! descriptor and refuses `..` out of it, absolute names, links in any component and magic links; what it opened is
//! then asked whether it is a regular file with one name only, since a hard link looks like any other file.

use std::fs::File;
use std::io;
use std::path::Path;

/// Why a name was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub reason: String,
    pub help: &'static str,
}

const COPY: &str = "put a copy of the data file, not a link, into the folder of the model or below it";
const PLAIN: &str = "name the data file relative to the model's folder, without `..`";

fn refuse<T>(reason: impl Into<String>, help: &'static str) -> Result<T, Refusal> {
    Err(Refusal { reason: reason.into(), help })
}

/// A folder that is open for [`Dir::open_file`].
#[derive(Debug)]
pub(super) struct Dir {
    #[cfg(unix)]
    fd: rustix::fd::OwnedFd,
}

impl Dir {
    /// Opens the folder at `path`, which the user has named and is trusted.
    pub(super) fn open(path: &Path) -> io::Result<Dir> {
        #[cfg(unix)]
        {
            use rustix::fs::{Mode, OFlags};
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(Dir { fd: rustix::fs::open(path, flags, Mode::empty())? })
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            Err(io::Error::new(io::ErrorKind::Unsupported, "external data needs a Unix system"))
        }
    }

    /// Opens the regular file `name` at or below this folder.
    #[cfg(unix)]
    pub(super) fn open_file(&self, name: &str) -> Result<File, Refusal> {
        use rustix::fs::{FileType, fstat};
        if name.is_empty() {
            return refuse("the file name is empty", PLAIN);
        }
        if name.contains('\0') {
            return refuse("the file name holds a NUL byte", PLAIN);
        }
        if name.split('/').any(|part| part == "..") {
            return refuse(format!("`{}` goes up a folder", name.escape_default()), PLAIN);
        }
        let fd = match kernel::open(&self.fd, name) {
            Ok(fd) => fd,
            Err(e) => {
                return refuse(explain(name, e), if e == rustix::io::Errno::NOENT { COPY } else { PLAIN });
            }
        };
        let stat = fstat(&fd).or_else(|e| refuse(explain(name, e), COPY))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return refuse(format!("`{}` is no regular file", name.escape_default()), COPY);
        }
        if stat.st_nlink != 1 {
            let links = stat.st_nlink;
            return refuse(
                format!("`{}` is a hard link, {links} names share it", name.escape_default()),
                COPY,
            );
        }
        Ok(File::from(fd))
    }

    /// There is no descriptor-relative open here, so nothing is opened.
    #[cfg(not(unix))]
    pub(super) fn open_file(&self, _name: &str) -> Result<File, Refusal> {
        refuse("external data needs a Unix system", "store the weights inside the model file")
    }
}

#[cfg(unix)]
fn explain(name: &str, e: rustix::io::Errno) -> String {
    use rustix::io::Errno;
    let mut shown: String = name.chars().take(80).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    let shown = shown.escape_default();
    match e {
        Errno::XDEV => format!("`{shown}` lies outside the model's folder"),
        Errno::LOOP | Errno::NOTDIR | Errno::MLINK => {
            format!("`{shown}` goes through a symbolic link or a file")
        }
        Errno::NOENT => format!("there is no file `{shown}` in the model's folder"),
        e => format!("cannot open `{shown}`: {}", io::Error::from(e)),
    }
}

#[cfg(unix)]
mod kernel {
    use rustix::fd::{AsFd, OwnedFd};
    use rustix::fs::{Mode, OFlags, openat};
    use rustix::io::Errno;

    /// `NONBLOCK` so that a FIFO answers instead of waiting for a writer.
    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

    /// Lets the kernel resolve the whole name, or walks it where the kernel cannot.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn open(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(dir, name, FLAGS, Mode::empty(), resolve) {
            // Old kernels do not know the call, and some sandboxes forbid it.
            Err(Errno::NOSYS | Errno::PERM) => walk(dir, name),
            other => other,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn open(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
        walk(dir, name)
    }

    /// Opens one component after the other without following links; refuses every name that is not plain.
    pub(super) fn walk(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
        let mut folder: Option<OwnedFd> = None;
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() || part == "." || part == ".." {
                return Err(Errno::XDEV);
            }
            let last = parts.peek().is_none();
            let kind = if last { OFlags::empty() } else { OFlags::DIRECTORY };
            let at = folder.as_ref().map_or(dir.as_fd(), |f| f.as_fd());
            let next = openat(at, part, FLAGS | OFlags::NOFOLLOW | kind, Mode::empty())?;
            if last {
                return Ok(next);
            }
            folder = Some(next);
        }
        Err(Errno::XDEV)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder `model` with good data, beside a secret that must stay unread.
    fn folder() -> (tempfile::TempDir, Dir) {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("model");
        std::fs::create_dir_all(model.join("sub")).unwrap();
        std::fs::write(root.path().join("secret"), b"secret").unwrap();
        std::fs::write(model.join("data"), b"good").unwrap();
        std::fs::write(model.join("sub/data"), b"good").unwrap();
        symlink(root.path().join("secret"), model.join("link")).unwrap();
        symlink("data", model.join("inner_link")).unwrap();
        symlink(root.path(), model.join("link_dir")).unwrap();
        symlink("sub", model.join("inner_link_dir")).unwrap();
        std::fs::write(model.join("one_name"), b"good").unwrap();
        std::fs::hard_link(model.join("one_name"), model.join("hard")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            model.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let dir = Dir::open(&model).unwrap();
        (root, dir)
    }

    #[test]
    fn files_below_the_folder_open() {
        let (_root, dir) = folder();
        assert!(dir.open_file("data").is_ok());
        assert!(dir.open_file("sub/data").is_ok());
        assert!(kernel::walk(&dir.fd, "sub/data").is_ok());
    }

    #[test]
    fn nothing_outside_the_folder_opens() {
        let (root, dir) = folder();
        let absolute = root.path().join("secret").display().to_string();
        let long = "a/".repeat(4000) + "data";
        let overlong = "a".repeat(300);
        let cases = [
            "../secret",
            "sub/../../secret",
            "sub/../data",
            &absolute,
            "/proc/self/environ",
            "dat\0a",
            "",
            ".",
            "sub/",
            "sub",
            "..",
            "link",
            "inner_link",
            "link_dir/secret",
            "inner_link_dir/data",
            "hard",
            "fifo",
            "C:\\data",
            "..\\secret",
            "missing",
            "data/",
            "data/x",
            &long,
            &overlong,
        ];
        for name in cases {
            let refusal = dir.open_file(name).expect_err(name);
            assert!(!refusal.reason.is_empty() && refusal.reason.len() < 1000, "{name}: {refusal:?}");
        }
    }

    #[test]
    fn the_walk_without_the_kernels_help_refuses_the_same_names() {
        let (root, dir) = folder();
        let absolute = root.path().join("secret").display().to_string();
        let names = [
            "../secret",
            "sub/../../secret",
            &absolute,
            ".",
            "",
            "link",
            "link_dir/secret",
            "inner_link_dir/data",
        ];
        for name in names {
            assert!(kernel::walk(&dir.fd, name).is_err(), "{name}");
        }
    }
}
