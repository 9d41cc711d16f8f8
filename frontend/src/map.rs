//! Files as memory: the only place that maps.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::Error;

/// The content of the file at `path`, as a view of the page cache.
pub fn map_path(path: &Path) -> Result<Bytes, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
    }
    map(&file).map_err(io)
}

/// The content of an open regular file.
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private and read-only, and its length is fixed at the size of the file. What remains is that
    // another process changes or shortens the file while it is mapped; as for every tool that maps its input, models
    // in use must be replaced by renaming, as this crate does when it writes, and not overwritten in place.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
