//! The server of the control surface, and its thread.

use super::connections::Connections;
use super::services::Services;
use super::tls::{Authority, TlsError};
use super::token::Guard;
use super::{Question, pb};
use crate::cluster::home::{Control, Home, HomeError};
use crate::cluster::ledger::Ledger;
use crate::cluster::secret::{Invitation, Keys};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tonic::service::InterceptorLayer;
use tonic::transport::{Server, ServerTlsConfig};
use tracing::error;

/// Questions that wait for the daemon's loop. One more is answered with `RESOURCE_EXHAUSTED`.
const QUESTIONS_MAX: usize = 64;
/// Connections at once. One more is closed.
const CONNECTIONS_MAX: usize = 256;
/// Calls of one connection that are under way at once; others wait.
const CALLS_MAX: usize = 256;
/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether anybody is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why there is no control surface.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurfaceError {
    /// It can't listen.
    #[error("can't listen for control at {address}: choose another with --control, or end what uses it")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It has no certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token can't be written.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The system refuses something.
    #[error("can't {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What was said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a control surface is made of.
pub(crate) struct SurfaceSetup<'a> {
    /// The head's folder.
    pub home: &'a Home,
    /// The cluster.
    pub keys: &'a Keys,
    /// Where the head listens for letters.
    pub head: SocketAddr,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether it is encrypted on loopback too.
    pub encrypts: bool,
    /// Keys, values and jobs.
    pub ledger: Arc<dyn Ledger>,
    /// Of this head.
    pub term: u64,
}

/// The control surface while it serves.
pub(crate) struct Surface {
    control: Control,
    questions: mpsc::Receiver<Question>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Surface {
    /// Listens, and serves. Where others can reach it, with TLS, and with a token file for those who join.
    ///
    /// # Errors
    /// See [`SurfaceError`].
    pub fn start(setup: SurfaceSetup<'_>) -> Result<Surface, SurfaceError> {
        let SurfaceSetup { home, keys, head, listen, encrypts, ledger, term } = setup;
        let cant_listen = |source| SurfaceError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(cant_listen)?;
        listener.set_nonblocking(true).map_err(cant_listen)?;
        let address = listener.local_addr().map_err(cant_listen)?;
        let is_encrypted = encrypts || !address.ip().is_loopback();
        let tls = if is_encrypted {
            let authority = Authority::of(home, keys)?;
            home.invite(keys, Invitation { head, control: address, ca: authority.hash() })?;
            Some(authority.server_config(keys)?)
        } else {
            None
        };
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let (stop, stopped) = oneshot::channel();
        let (services, guard) = (Services::new(ask, ledger, keys.cluster, term), Guard::new(keys));
        let thread = std::thread::Builder::new().name("rayline-surface".into()).spawn(move || {
            if let Err(error) = serve(listener, tls, guard, services, stopped) {
                error!(error = &*error, "the control surface has ended");
            }
        });
        let thread = thread.map_err(|source| SurfaceError::System {
            what: "start the control surface's thread",
            source: source.into(),
        })?;
        let control = Control { address, is_encrypted };
        Ok(Surface { control, questions, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is.
    pub fn control(&self) -> Control {
        self.control
    }

    /// The next question to the head.
    pub async fn question(&mut self) -> Option<Question> {
        self.questions.recv().await
    }
}

impl Drop for Surface {
    /// Calls under way are given up: what they want of the head won't be answered any more.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has no panic of ours to pass on.
            let _ = thread.join();
        }
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Serves until `stopped` is dropped.
fn serve(
    listener: TcpListener,
    tls: Option<ServerTlsConfig>,
    guard: Guard,
    services: Services,
    stopped: oneshot::Receiver<()>,
) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let incoming = Connections::new(tokio::net::TcpListener::from_std(listener)?, CONNECTIONS_MAX);
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls)?;
        }
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<pb::cluster_server::ClusterServer<Services>>().await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let serving = server
            .timeout(CALL_TIMEOUT)
            .concurrency_limit_per_connection(CALLS_MAX)
            .max_concurrent_streams(u32::try_from(CALLS_MAX)?)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .layer(InterceptorLayer::new(guard))
            .add_service(pb::cluster_server::ClusterServer::new(services.clone()))
            .add_service(pb::nodes_server::NodesServer::new(services.clone()))
            .add_service(pb::actors_server::ActorsServer::new(services.clone()))
            .add_service(pb::groups_server::GroupsServer::new(services.clone()))
            .add_service(pb::jobs_server::JobsServer::new(services.clone()))
            .add_service(pb::kv_server::KvServer::new(services))
            .add_service(reflection)
            .add_service(health)
            .serve_with_incoming(incoming);
        tokio::select! {
            served = serving => Ok(served?),
            _ = stopped => Ok(()),
        }
    })
}
