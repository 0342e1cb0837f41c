//! A throw-away PgBouncer in front of a [`Cluster`], pooling by transaction.
//!
//! Few server connections for many clients: what a client leaves behind in a session, such
//! as a prepared statement or an advisory lock, it does not find again.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::postgres::supervisor::{Supervisor, parent_folder};
use crate::postgres::{
    Cluster, FIRST_DATABASE, PORT_TRIES, SUPERUSER, free_port, programs, tail, url,
};

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The pooler. It stops when it is dropped, and when this process ends in any other way.
pub(crate) struct Pooler {
    port: u16,
    password: String,
    _supervisor: Supervisor,
}

impl Pooler {
    /// Starts a pooler that lets the cluster's superuser in to every database.
    pub(crate) fn start(cluster: &Cluster) -> Result<Self> {
        let program = programs::pooler()?;
        let mut tries = 1;
        loop {
            // Its port may be taken between the look and its start.
            match Self::try_start(&program, cluster) {
                Err(error) if tries == PORT_TRIES => return Err(error),
                Err(_) => tries += 1,
                Ok(pooler) => return Ok(pooler),
            }
        }
    }

    /// The URL of `database` through the pooler.
    pub(crate) fn url(&self, database: &str) -> String {
        url(&self.password, self.port, database)
    }

    fn try_start(program: &Path, cluster: &Cluster) -> Result<Self> {
        let port = free_port()?;
        let mut supervisor = Supervisor::start(
            include_str!("pooler.sh"),
            &[
                &program.to_string_lossy(),
                &parent_folder(None).to_string_lossy(),
                &configuration(port, cluster.port),
            ],
        )?;
        supervisor.tell(&format!("{SUPERUSER} {}", cluster.password))?;
        let log_file = Path::new(&supervisor.answer()?).join("pgbouncer.log");
        let started = Instant::now();
        // Asked for an answer to a query: another program that took the port has none.
        while let Err(error) = cluster.psql_at(port, FIRST_DATABASE, "select 1") {
            if started.elapsed() > ANSWERS_WITHIN {
                let log = tail(&log_file);
                return Err(error).with_context(|| format!("PgBouncer does not answer; {log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            port,
            password: cluster.password.clone(),
            _supervisor: supervisor,
        })
    }
}

/// pgbouncer.ini but for `auth_file`, which the script adds: it makes the directory.
/// <https://www.pgbouncer.org/config.html>
fn configuration(port: u16, server_port: u16) -> String {
    // After a restart of the server, the default would refuse clients for 15 s.
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={server_port}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         pool_mode = transaction\n\
         default_pool_size = 8\n\
         max_client_conn = 500\n\
         server_login_retry = 1\n\
         ignore_startup_parameters = extra_float_digits"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Durability;

    #[test]
    fn serves_clients_and_stops_when_dropped() {
        // `cargo xtask test` has both; a test installs nothing.
        if programs::find_servers().is_none() || programs::find_pooler().is_none() {
            return;
        }
        let cluster = Cluster::start(Durability::Fast, &[]).unwrap();
        cluster.create_database("pooled").unwrap();
        let pooler = Pooler::start(&cluster).unwrap();
        let port = pooler.port;
        let name = cluster.psql_at(port, "pooled", "select current_database()");
        assert_eq!(name.unwrap(), "pooled");
        assert!(pooler.url("pooled").ends_with(&format!(":{port}/pooled")));
        drop(pooler);
        assert!(cluster.psql_at(port, "pooled", "select 1").is_err());
    }
}
