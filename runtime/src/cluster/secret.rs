//! What all processes of a cluster know: its id and its secret, in a file that only its owner may read.

use rayline_transport::tcp::{ClusterId, Secret};
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const HEAD_LINE: &str = "rayline secret 1";
/// A token begins as a secret does, and says more.
const TOKEN_LINE: &str = "rayline token 1";
/// A file is not read beyond this.
const BYTES_MAX: u64 = 4096;

/// A cluster's id and secret. They are in one file and in memory: in no argument, environment or log.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Names the cluster.
    pub cluster: ClusterId,
    /// Proves that one belongs to it.
    pub secret: Secret,
    /// Where its head is, and how that is known, where the file was a token.
    pub invitation: Option<Invitation>,
}

/// Where a head is that others can reach, and how they know that it is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Where it listens for letters.
    pub head: SocketAddr,
    /// Where its control surface is.
    pub control: SocketAddr,
    /// The SHA-256 of the certificate of its authority.
    pub ca: [u8; 32],
}

/// Why a file of ours can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The system refuses it.
    #[error("can't {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others could have read or written it.
    #[error("{path} {why}; {advice}")]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What to do.
        advice: String,
    },
    /// It holds something else.
    #[error("{path} holds no cluster secret: copy the head's file as it is")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Keys {
    /// New ones, of the system's randomness.
    ///
    /// # Errors
    /// Where the system has none.
    pub fn new() -> io::Result<Keys> {
        let mut bytes = [0; 48];
        fill(&mut bytes)?;
        let (cluster, secret) = bytes.split_at(16);
        Ok(Keys {
            cluster: ClusterId(u128::from_le_bytes(cluster.try_into().expect("sixteen bytes"))),
            secret: Secret(secret.try_into().expect("32 bytes")),
            invitation: None,
        })
    }

    /// Reads them.
    ///
    /// # Errors
    /// `Unsafe` for a file that another owns, that others may read, or that is a link; `Malformed`, `Io`.
    pub fn read(path: &Path) -> Result<Keys, SecretError> {
        let text = read_private(path)?;
        Self::parse(&text).ok_or_else(|| SecretError::Malformed { path: path.to_owned() })
    }

    /// Writes them to a new file.
    ///
    /// # Errors
    /// `Io`, also where the file is there.
    pub fn write_new(&self, path: &Path) -> Result<(), SecretError> {
        write_private(path, &format!("{HEAD_LINE}\n{}", self.lines()))
    }

    /// A token: the same, and where the head is.
    pub(super) fn inviting(&self, Invitation { head, control, ca }: Invitation) -> String {
        format!("{TOKEN_LINE}\n{}head {head}\ncontrol {control}\nca {}\n", self.lines(), hexadecimal(&ca))
    }

    fn lines(&self) -> String {
        format!("cluster {:032x}\nsecret {}\n", self.cluster.0, hexadecimal(&self.secret.0))
    }

    fn parse(text: &str) -> Option<Keys> {
        let mut lines = text.lines();
        let head_line = lines.next()?;
        let mut word = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let cluster = ClusterId(u128::from_str_radix(word("cluster")?, 16).ok()?);
        let secret = Secret(bytes_of(word("secret")?)?);
        let invitation = match head_line {
            HEAD_LINE => None,
            TOKEN_LINE => Some(Invitation {
                head: word("head")?.parse().ok()?,
                control: word("control")?.parse().ok()?,
                ca: bytes_of(word("ca")?)?,
            }),
            _ => return None,
        };
        Some(Keys { cluster, secret, invitation })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Fills with the system's randomness.
pub(super) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        at += rustix::rand::getrandom(&mut bytes[at..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}

/// Reads a file that must be ours alone.
pub(super) fn read_private(path: &Path) -> Result<String, SecretError> {
    let error = |what| move |source: io::Error| SecretError::Io { what, path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    if opened.as_ref().is_err_and(|errno| *errno == rustix::io::Errno::LOOP) {
        return Err(refuse(path, "is a link".into(), "name the file itself".into()));
    }
    let file = File::from(opened.map_err(|errno| error("open")(errno.into()))?);
    let stat = rustix::fs::fstat(&file).map_err(|errno| error("look at")(errno.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(refuse(path, "is no file".into(), "name the head's secret file".into()));
    }
    check_private(path, stat.st_uid, stat.st_mode, "600")?;
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(error("read"))?;
    Ok(text)
}

/// Writes a new file that is ours alone.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), SecretError> {
    let error = |what| move |source: io::Error| SecretError::Io { what, path: path.to_owned(), source };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let created = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let mut file = File::from(created.map_err(|errno| error("create")(errno.into()))?);
    file.write_all(text.as_bytes()).map_err(error("write"))
}

/// Whether only we may reach something, by owner and mode.
pub(super) fn check_private(path: &Path, uid: u32, mode: u32, wanted: &str) -> Result<(), SecretError> {
    let us = geteuid().as_raw();
    if uid != us {
        let why = format!("belongs to user {uid}, and we are user {us}");
        return Err(refuse(path, why, "use one of your own, or run as that user".into()));
    }
    if mode & 0o077 != 0 {
        let why = format!("has mode {:o}, so that others may reach it", mode & 0o7777);
        return Err(refuse(path, why, format!("run `chmod {wanted} {}`", path.display())));
    }
    Ok(())
}

fn refuse(path: &Path, why: String, advice: String) -> SecretError {
    SecretError::Unsafe { path: path.to_owned(), why, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(keys: &Keys) -> String {
        let path = std::env::temp_dir().join(format!("rayline-secret-{}-{}", std::process::id(), keys.cluster.0));
        keys.write_new(&path).unwrap();
        let again = keys.write_new(&path).unwrap_err().to_string();
        assert!(again.contains("can't create"), "{again}");
        let read = Keys::read(&path).unwrap();
        assert!(read.cluster == keys.cluster && read.secret == keys.secret);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        text
    }

    #[test]
    fn keys_come_back_from_their_file_and_differ() {
        let (one, two) = (Keys::new().unwrap(), Keys::new().unwrap());
        assert!(one.secret != two.secret && one.cluster != two.cluster);
        let written = text(&one);
        assert!(Keys::parse(&written).is_some());
        for broken in [&written[1..], &written[..60], &written.replace("secret ", "secret x"), ""] {
            assert!(Keys::parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn a_token_is_a_secret_that_says_where_the_head_is() {
        let keys = Keys::new().unwrap();
        let address = |text: &str| text.parse().unwrap();
        let invitation = Invitation { head: address("10.0.0.1:7741"), control: address("[::1]:7742"), ca: [0xA7; 32] };
        let token = keys.inviting(invitation);
        let read = Keys::parse(&token).unwrap();
        assert!(read.secret == keys.secret && read.cluster == keys.cluster && read.invitation == Some(invitation));
        let secret = token.replace(TOKEN_LINE, HEAD_LINE);
        assert_eq!(Keys::parse(&secret).unwrap().invitation, None);
        let cut = token.lines().take(5).collect::<Vec<_>>().join("\n");
        for broken in [cut, token.replace("ca a7", "ca "), token.replace(":7741", "")] {
            assert!(Keys::parse(&broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn others_files_are_refused_with_what_to_do() {
        let error = check_private(Path::new("/x/secret"), geteuid().as_raw(), 0o100_644, "600").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("mode 644") && text.contains("chmod 600 /x/secret"), "{text}");
        let error = check_private(Path::new("/x"), geteuid().as_raw() + 1, 0o100_600, "600").unwrap_err();
        assert!(error.to_string().contains("belongs to user"), "{error}");
    }
}
