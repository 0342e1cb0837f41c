//! Where the programs of PostgreSQL and PgBouncer are; installs them where that is safe.
//!
//! Safe is what [`crate::debian`] may do, leaving neither a system cluster nor a running
//! service. Anywhere else one line says what to install.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::debian::{can_install, in_path, install};

/// Where Debian puts each major version's server.
const DEBIAN_SERVERS: &str = "/usr/lib/postgresql";
/// What a folder must hold to be taken for a server's; a client alone has `psql` only.
const SERVER_PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];
/// Settings for the clusters that Debian's packages create; read while they are configured.
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.d/hookbay-xtask.conf";
/// What Debian's packages ask before they start a service.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// The folder of the server's programs; installs the server where that is safe.
pub(super) fn servers() -> Result<PathBuf> {
    if let Some(folder) = find_servers() {
        return Ok(folder);
    }
    if !can_install()? {
        bail!(
            "PostgreSQL's server is not installed: install `postgresql` with your package manager, or put its `initdb` and `pg_ctl` into PATH"
        );
    }
    // Otherwise the package creates a cluster and starts it.
    let settings = TemporaryFile::create(CLUSTER_SETTINGS, "create_main_cluster = false\n", 0o644)?;
    install("postgresql")?;
    drop(settings);
    find_servers().context("`apt-get install postgresql` brought no server")
}

/// PgBouncer's program; installs it where that is safe.
pub(super) fn pooler() -> Result<PathBuf> {
    if let Some(program) = find_pooler() {
        return Ok(program);
    }
    if !can_install()? {
        bail!("PgBouncer is not installed: install `pgbouncer` with your package manager");
    }
    let policy = TemporaryFile::create(SERVICE_POLICY, "#!/bin/sh\nexit 101\n", 0o755)?;
    install("pgbouncer")?;
    drop(policy);
    // Nor at the next boot, nor under a policy that was there and lets services start. Where
    // no init system is set up there is nothing to turn off.
    for words in [
        ["service", "pgbouncer", "stop"],
        ["update-rc.d", "pgbouncer", "disable"],
    ] {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let _is_off = command.status().is_ok();
    }
    find_pooler().context("`apt-get install pgbouncer` brought no pgbouncer")
}

/// The folder of a server that is already there.
pub(super) fn find_servers() -> Option<PathBuf> {
    in_path("initdb")
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_owned)
        .filter(|folder| has_servers(folder))
        .or_else(|| newest(Path::new(DEBIAN_SERVERS)))
        .or_else(configured)
}

/// A pooler that is already there.
pub(super) fn find_pooler() -> Option<PathBuf> {
    // Debian's place is not in every user's PATH.
    let debian = PathBuf::from("/usr/sbin/pgbouncer");
    in_path("pgbouncer").or_else(|| debian.exists().then_some(debian))
}

fn newest(versions: &Path) -> Option<PathBuf> {
    fs::read_dir(versions)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| has_servers(folder))
        .max()
        .map(|(_, folder)| folder)
}

fn configured() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    has_servers(&folder).then_some(folder)
}

fn has_servers(folder: &Path) -> bool {
    SERVER_PROGRAMS
        .iter()
        .all(|program| folder.join(program).exists())
}

/// A file that is there only while a package is installed; one that was there stays as it is.
struct TemporaryFile(Option<PathBuf>);

impl TemporaryFile {
    fn create(path: &str, text: &str, mode: u32) -> Result<Self> {
        let path = PathBuf::from(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        match fs::File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Self(None)),
            created => created.with_context(|| format!("cannot create {}", path.display()))?,
        };
        let file = Self(Some(path.clone()));
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(file)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("cannot remove {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_newest_version_that_has_a_server() {
        let folder = std::env::temp_dir().join(format!("xtask-versions-{}", std::process::id()));
        for version in ["9.6", "9", "15", "18", "other"] {
            let bin = folder.join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            // 18 has a client only.
            let programs = if version == "18" {
                &["psql"][..]
            } else {
                &SERVER_PROGRAMS[..]
            };
            for program in programs {
                fs::write(bin.join(program), "").unwrap();
            }
        }
        let found = newest(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, Some(folder.join("15/bin")));
        assert_eq!(newest(&folder), None);
    }
}
