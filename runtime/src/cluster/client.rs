//! Asks the head of a cluster.

use super::letter::{Address, Envelope, Letter};
use super::post::{HEAD, Post, PostError};
use super::secret::{Keys, fill};
use super::status::{ActorRow, Answer, GroupRow, NodeRow, Page, Question, WaitingRow};
use rayline_transport::tcp::{Options, Tcp};
use rayline_transport::{Event, PeerId, Regions, TransportError};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::Receiver;

/// A connection with a head, for questions.
pub struct Client {
    post: Post,
    events: Receiver<Event>,
    runtime: Runtime,
    address: SocketAddr,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The head can't be reached, or refuses us.
    #[error("no head answers at {address}: is it running, and is this its address?")]
    Unreachable {
        /// Where it was looked for.
        address: SocketAddr,
        /// What the transport said.
        #[source]
        source: TransportError,
    },
    /// It was reached, and says nothing.
    #[error("the head at {address} has not answered for {waited_ms} ms: it may be stopped or overloaded")]
    Silent {
        /// Where it is.
        address: SocketAddr,
        /// For how long it was waited, in milliseconds.
        waited_ms: u128,
    },
    /// It answers another question.
    #[error("the head at {address} answers something that was not asked: run the same release of Rayline on both")]
    Confused {
        /// Where it is.
        address: SocketAddr,
    },
    /// Something local failed.
    #[error("can't {what}")]
    Local {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The question can't be sent.
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Client {
    /// A client of the head at `address`, which waits for each answer for `patience`. It is dialled with the first question.
    ///
    /// # Errors
    /// `Local`, `Unreachable` where no socket can be had.
    pub fn new(address: SocketAddr, keys: &Keys, patience: Duration) -> Result<Client, ClientError> {
        let peer = fresh_peer().map_err(|source| ClientError::Local { what: "find randomness", source })?;
        let options = Options::loopback(peer, keys.cluster, keys.secret.clone());
        let unreachable = |source| ClientError::Unreachable { address, source };
        let (tcp, events) = Tcp::bind(options, Regions::new()).map_err(unreachable)?;
        tcp.introduce(HEAD, address);
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|source| ClientError::Local { what: "start tokio", source })?;
        Ok(Client { post: Post::new(tcp), events, runtime, address, patience })
    }

    /// All nodes, dead ones too that died not long ago.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn nodes(&mut self) -> Result<Vec<NodeRow>, ClientError> {
        self.all(
            |after| Question::Nodes { after },
            |answer| match answer {
                Answer::Nodes(page) => Some(page),
                _ => None,
            },
        )
    }

    /// All actors.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn actors(&mut self) -> Result<Vec<ActorRow>, ClientError> {
        self.all(
            |after| Question::Actors { after },
            |answer| match answer {
                Answer::Actors(page) => Some(page),
                _ => None,
            },
        )
    }

    /// All placement groups.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn groups(&mut self) -> Result<Vec<GroupRow>, ClientError> {
        self.all(
            |after| Question::Groups { after },
            |answer| match answer {
                Answer::Groups(page) => Some(page),
                _ => None,
            },
        )
    }

    /// Demand that waits.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn waiting(&mut self) -> Result<Vec<WaitingRow>, ClientError> {
        match self.ask(Question::Waiting)? {
            Answer::Waiting(rows) => Ok(rows),
            _ => Err(ClientError::Confused { address: self.address }),
        }
    }

    fn all<R, K>(
        &mut self,
        question: impl Fn(Option<K>) -> Question,
        page: impl Fn(Answer) -> Option<Page<R, K>>,
    ) -> Result<Vec<R>, ClientError> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let answer = self.ask(question(after))?;
            let page = page(answer).ok_or(ClientError::Confused { address: self.address })?;
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    fn ask(&mut self, question: Question) -> Result<Answer, ClientError> {
        let Client { post, events, runtime, address, patience } = self;
        post.send_by(HEAD, Envelope { to: Address::Head, letter: Letter::Ask(question) })?;
        let answer = runtime.block_on(async { tokio::time::timeout(*patience, answer(events)).await });
        let address = *address;
        match answer {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(ClientError::Confused { address }),
            Ok(Err(source)) => Err(ClientError::Unreachable { address, source }),
            Err(_) => Err(ClientError::Silent { address, waited_ms: patience.as_millis() }),
        }
    }
}

/// The next answer; `None` where something else comes.
async fn answer(events: &mut Receiver<Event>) -> Result<Option<Answer>, TransportError> {
    loop {
        match events.recv().await {
            Some(Event::Frame { bytes, .. }) => {
                return Ok(match Post::open(&bytes).map(|envelope| envelope.letter) {
                    Ok(Letter::Answer(answer)) => Some(answer),
                    _ => None,
                });
            }
            Some(Event::Down { error, .. }) => return Err(error),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

/// A peer's name that nobody else has, nor the head.
pub(crate) fn fresh_peer() -> std::io::Result<PeerId> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(PeerId(u128::from_le_bytes(bytes) | 1 << 127))
}
