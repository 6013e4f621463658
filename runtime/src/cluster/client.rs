//! Asks the head of a cluster, in gRPC.

use super::control::{Bearer, TlsError, bearer, client_config, fetch_ca, pb};
use super::home::Control;
use super::secret::Keys;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// A connection with the control surface of a head.
pub struct Client {
    channel: Channel,
    keys: Keys,
    runtime: Runtime,
    address: SocketAddr,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The head can't be reached.
    #[error("no head answers at {address}: is it running, and is this the address of its control surface?")]
    Unreachable {
        /// Where it was looked for.
        address: SocketAddr,
        /// What was tried.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It was reached, and says nothing.
    #[error("the head at {address} has not answered for {waited_ms} ms: it may be stopped or overloaded")]
    Silent {
        /// Where it is.
        address: SocketAddr,
        /// For how long it was waited, in milliseconds.
        waited_ms: u128,
    },
    /// It refuses the call.
    #[error("the head at {address} refuses: {}", .status.message())]
    Refused {
        /// Where it is.
        address: SocketAddr,
        /// What it says.
        status: Box<Status>,
    },
    /// Others can read along, and nobody has said by what the head is known.
    #[error("the control surface at {address} is not on this machine: name the head's file `token` with --secret-file")]
    Unknown {
        /// Where it is said to be.
        address: SocketAddr,
    },
    /// It is not the one that is meant.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Something local failed.
    #[error("can't {what}")]
    Local {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Client {
    /// Connects with a control surface, and waits for that and for each answer for `patience`. An encrypted one is known by
    /// the certificate of its authority, or by the hash of that in a token.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn connect(
        control: Control,
        keys: &Keys,
        ca_pem: Option<String>,
        patience: Duration,
    ) -> Result<Client, ClientError> {
        let Control { address, is_encrypted } = control;
        let unreachable = |source: tonic::transport::Error| ClientError::Unreachable { address, source: source.into() };
        let endpoint = if is_encrypted || keys.invitation.is_some() {
            let ca_pem = match (keys.invitation, ca_pem) {
                (Some(invitation), _) => fetch_ca(address, invitation.ca, patience)?,
                (None, Some(ca_pem)) => ca_pem,
                (None, None) => return Err(ClientError::Unknown { address }),
            };
            let endpoint = Endpoint::from_shared(format!("https://{address}")).map_err(unreachable)?;
            endpoint.tls_config(client_config(keys, &ca_pem)?).map_err(unreachable)?
        } else if address.ip().is_loopback() {
            Endpoint::from_shared(format!("http://{address}")).map_err(unreachable)?
        } else {
            return Err(ClientError::Unknown { address });
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| ClientError::Local { what: "start tokio", source })?;
        let connected = runtime.block_on(async { tokio::time::timeout(patience, endpoint.connect()).await });
        let silent = |_| ClientError::Silent { address, waited_ms: patience.as_millis() };
        let channel = connected.map_err(silent)?.map_err(unreachable)?;
        Ok(Client { channel, keys: keys.clone(), runtime, address, patience })
    }

    /// What the cluster is, and what waits.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn info(&self) -> Result<pb::InfoResponse, ClientError> {
        let mut cluster = pb::cluster_client::ClusterClient::with_interceptor(self.channel.clone(), self.bearer());
        self.call(cluster.info(pb::InfoRequest {}))
    }

    /// All nodes, dead ones too that died not long ago.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn nodes(&self) -> Result<Vec<pb::Node>, ClientError> {
        let mut nodes = pb::nodes_client::NodesClient::with_interceptor(self.channel.clone(), self.bearer());
        all(|page_token| {
            let page = self.call(nodes.list(pb::ListNodesRequest { page_size: 0, page_token }))?;
            Ok((page.nodes, page.next_page_token))
        })
    }

    /// All actors.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn actors(&self) -> Result<Vec<pb::Actor>, ClientError> {
        let mut actors = pb::actors_client::ActorsClient::with_interceptor(self.channel.clone(), self.bearer());
        all(|page_token| {
            let page = self.call(actors.list(pb::ListActorsRequest { page_size: 0, page_token }))?;
            Ok((page.actors, page.next_page_token))
        })
    }

    /// All placement groups.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn groups(&self) -> Result<Vec<pb::Group>, ClientError> {
        let mut groups = pb::groups_client::GroupsClient::with_interceptor(self.channel.clone(), self.bearer());
        all(|page_token| {
            let page = self.call(groups.list(pb::ListGroupsRequest { page_size: 0, page_token }))?;
            Ok((page.groups, page.next_page_token))
        })
    }

    /// All jobs that are known.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn jobs(&self) -> Result<Vec<pb::Job>, ClientError> {
        let mut jobs = self.jobs_client();
        all(|page_token| {
            let page = self.call(jobs.list(pb::ListJobsRequest { page_size: 0, page_token }))?;
            Ok((page.jobs, page.next_page_token))
        })
    }

    /// Stops a job, by its id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stop_job(&self, job: String) -> Result<pb::Job, ClientError> {
        self.call(self.jobs_client().stop(pb::StopJobRequest { job }))
    }

    /// Puts a value; whether there was one before.
    ///
    /// # Errors
    /// See [`ClientError`]; also where there is one and `only_if_absent` is set.
    pub fn put(&self, put: pb::PutRequest) -> Result<bool, ClientError> {
        Ok(self.call(self.kv_client().put(put))?.replaced)
    }

    /// The value of a key; `None` where it has none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get(&self, namespace: String, key: Vec<u8>) -> Result<Option<Vec<u8>>, ClientError> {
        match self.call(self.kv_client().get(pb::GetRequest { namespace, key })) {
            Err(ClientError::Refused { status, .. }) if status.code() == Code::NotFound => Ok(None),
            found => Ok(Some(found?.value)),
        }
    }

    /// Takes a key away; whether it was there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delete(&self, namespace: String, key: Vec<u8>) -> Result<bool, ClientError> {
        Ok(self.call(self.kv_client().delete(pb::DeleteRequest { namespace, key }))?.existed)
    }

    /// All keys that begin with `prefix`, in order.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn keys(&self, namespace: &str, prefix: &[u8]) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut kv = self.kv_client();
        all(|page_token| {
            let (namespace, prefix) = (namespace.to_owned(), prefix.to_vec());
            let page = self.call(kv.list(pb::ListKeysRequest { namespace, prefix, page_size: 1000, page_token }))?;
            Ok((page.keys, page.next_page_token))
        })
    }

    fn jobs_client(&self) -> pb::jobs_client::JobsClient<InterceptedService<Channel, Bearer>> {
        pb::jobs_client::JobsClient::with_interceptor(self.channel.clone(), self.bearer())
    }

    fn kv_client(&self) -> pb::kv_client::KvClient<InterceptedService<Channel, Bearer>> {
        pb::kv_client::KvClient::with_interceptor(self.channel.clone(), self.bearer())
    }

    fn bearer(&self) -> Bearer {
        bearer(&self.keys)
    }

    fn call<R>(&self, call: impl Future<Output = Result<Response<R>, Status>>) -> Result<R, ClientError> {
        let (address, waited_ms) = (self.address, self.patience.as_millis());
        match self.runtime.block_on(async { tokio::time::timeout(self.patience, call).await }) {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            // With a source it comes of the connection, and not of the head.
            Ok(Err(status)) if status.code() == Code::Unavailable || status.source().is_some() => {
                Err(ClientError::Unreachable { address, source: status.into() })
            }
            Ok(Err(status)) => Err(ClientError::Refused { address, status: Box::new(status) }),
            Err(_) => Err(ClientError::Silent { address, waited_ms }),
        }
    }
}

/// All rows of a list that comes in pages.
fn all<R>(mut page: impl FnMut(String) -> Result<(Vec<R>, String), ClientError>) -> Result<Vec<R>, ClientError> {
    let (mut rows, mut next) = page(String::new())?;
    while !next.is_empty() {
        let (more, then) = page(next)?;
        rows.extend(more);
        next = then;
    }
    Ok(rows)
}
