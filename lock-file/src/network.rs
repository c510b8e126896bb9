//! Which file systems are elsewhere: there the kernel lock of one host says nothing to another.

use std::io;
use std::path::Path;

/// The file system's name if it is one whose locks can't be trusted; `None` for a local one.
#[cfg(target_os = "linux")]
pub(crate) fn untrusted(path: &Path) -> io::Result<Option<&'static str>> {
    let kind = rustix::fs::statfs(path)?.f_type;
    // The numbers have 32 bits, in a word whose width and sign differ between architectures.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    Ok(name_of(kind as u32))
}

#[cfg(target_os = "linux")]
fn name_of(kind: u32) -> Option<&'static str> {
    // Magic numbers of statfs(2) and of the kernel's include/uapi/linux/magic.h.
    const NAMES: [(u32, &str); 15] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9p"),
        (0x0BD0_0BD0, "Lustre"),
        (0x00C3_6400, "Ceph"),
        (0x0116_1970, "GFS2"),
        (0x7461_636F, "OCFS2"),
        (0x5346_414F, "AFS"),
        (0x7375_7245, "Coda"),
        (0x1983_0326, "BeeGFS"),
        (0x4750_4653, "GPFS"),
        (0x786F_4256, "VirtualBox shared folder"),
    ];
    NAMES.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

/// The file system's name if it is one whose locks can't be trusted; `None` for a local one.
#[cfg(target_vendor = "apple")]
pub(crate) fn untrusted(path: &Path) -> io::Result<Option<&'static str>> {
    const NAMES: [&str; 7] = ["nfs", "smbfs", "afpfs", "webdav", "ftp", "macfuse", "osxfuse"];
    let told = rustix::fs::statfs(path)?.f_fstypename;
    let name: String = told.iter().map_while(|c| u8::try_from(*c).ok().filter(|c| *c != 0)).map(char::from).collect();
    Ok(NAMES.into_iter().find(|bad| *bad == name))
}

/// The file system's name if it is one whose locks can't be trusted; `None` for a local one.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(crate) fn untrusted(path: &Path) -> io::Result<Option<&'static str>> {
    // A share's path, as Windows writes it when it is resolved.
    let path = path.canonicalize()?;
    Ok(path.to_string_lossy().starts_with(r"\\?\UNC\").then_some("a network share"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_and_local_ones_are_not() {
        assert_eq!(name_of(0x6969), Some("NFS"));
        assert_eq!(name_of(0x6573_5546), Some("FUSE"));
        for local in [0xEF53, 0x0102_1994, 0x5846_5342, 0x9123_683E, 0x794C_7630] {
            assert_eq!(name_of(local), None);
        }
        assert_eq!(untrusted(Path::new("/proc")).unwrap(), None);
    }
}
