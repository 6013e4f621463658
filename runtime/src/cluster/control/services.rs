//! The services: what is asked of the ledger, and what of the machines.

use super::page::{self, Page, id_numbers};
use super::{Question, pb};
use crate::cluster::desk::Desk;
use crate::cluster::head::Head;
use crate::cluster::ledger::{Job, Kv, KvError, Ledger, LedgerError, Table, job_key, job_number};
use rayline_core::ids::{ActorId, GroupId, NodeId, OwnerId};
use rayline_transport::tcp::ClusterId;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

/// All services of the control surface.
#[derive(Clone)]
pub(super) struct Services {
    head: mpsc::Sender<Question>,
    ledger: Arc<dyn Ledger>,
    kv: Kv,
    cluster: ClusterId,
    term: u64,
    begin: Instant,
}

type Answer<T> = Result<Response<T>, Status>;

impl Services {
    pub fn new(head: mpsc::Sender<Question>, ledger: Arc<dyn Ledger>, cluster: ClusterId, term: u64) -> Services {
        Services { head, kv: Kv::new(ledger.clone()), ledger, cluster, term, begin: Instant::now() }
    }

    /// Asks the head, which answers between two letters.
    async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Head, &mut Desk) -> R + Send + 'static,
    ) -> Result<R, Status> {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |head, desk| drop(reply.send(question(head, desk))));
        self.head.try_send(question).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Status::resource_exhausted("too many questions wait for the head"),
            mpsc::error::TrySendError::Closed(_) => Status::unavailable("the head is ending"),
        })?;
        answer.await.map_err(|_| Status::unavailable("the head is ending"))
    }

    fn job(&self, id: &str) -> Result<pb::Job, Status> {
        let unknown = || Status::not_found(format!("no job {id} is known: it never was, or ended long ago"));
        let number = job_number(id).ok_or_else(unknown)?;
        let found = self.ledger.get(Table::Jobs, &job_key(number)).map_err(refused)?;
        found.and_then(|bytes| job_row(number, &bytes)).ok_or_else(unknown)
    }
}

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Services {
    async fn info(&self, _: Request<pb::InfoRequest>) -> Answer<pb::InfoResponse> {
        let waiting = self.ask(|head, _| head.waiting_rows()).await?;
        Ok(Response::new(pb::InfoResponse {
            cluster: format!("{:032x}", self.cluster.0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX),
            term: self.term,
            waiting,
        }))
    }
}

#[tonic::async_trait]
impl pb::nodes_server::Nodes for Services {
    async fn list(&self, request: Request<pb::ListNodesRequest>) -> Answer<pb::ListNodesResponse> {
        let pb::ListNodesRequest { page_size, page_token } = request.into_inner();
        let after = page::after(&page_token, |token| Some(NodeId(token.strip_prefix('n')?.parse().ok()?)))?;
        let page = self.ask(move |head, _| head.node_rows(after, page::size(page_size))).await?;
        Ok(Response::new(pb::ListNodesResponse { nodes: page.rows, next_page_token: page.next }))
    }
}

#[tonic::async_trait]
impl pb::actors_server::Actors for Services {
    async fn list(&self, request: Request<pb::ListActorsRequest>) -> Answer<pb::ListActorsResponse> {
        let pb::ListActorsRequest { page_size, page_token } = request.into_inner();
        let parse = |token: &str| id_numbers(token, 'a').map(|(owner, seq)| ActorId { owner: OwnerId(owner), seq });
        let after = page::after(&page_token, parse)?;
        let page = self.ask(move |head, _| head.actor_rows(after, page::size(page_size))).await?;
        Ok(Response::new(pb::ListActorsResponse { actors: page.rows, next_page_token: page.next }))
    }
}

#[tonic::async_trait]
impl pb::groups_server::Groups for Services {
    async fn list(&self, request: Request<pb::ListGroupsRequest>) -> Answer<pb::ListGroupsResponse> {
        let pb::ListGroupsRequest { page_size, page_token } = request.into_inner();
        let parse = |token: &str| id_numbers(token, 'g').map(|(owner, seq)| GroupId { owner: OwnerId(owner), seq });
        let after = page::after(&page_token, parse)?;
        let page = self.ask(move |head, _| head.group_rows(after, page::size(page_size))).await?;
        Ok(Response::new(pb::ListGroupsResponse { groups: page.rows, next_page_token: page.next }))
    }
}

#[tonic::async_trait]
impl pb::jobs_server::Jobs for Services {
    async fn list(&self, request: Request<pb::ListJobsRequest>) -> Answer<pb::ListJobsResponse> {
        let pb::ListJobsRequest { page_size, page_token } = request.into_inner();
        let after = page::after(&page_token, job_number)?.map(job_key);
        let (size, mut rows) = (page::size(page_size), Vec::new());
        let mut show = |key: &[u8], value: &[u8]| {
            let number = key.try_into().map(u64::from_be_bytes);
            let row = number.ok().and_then(|number| job_row(number, value));
            rows.extend(row.map(|row| (row.job.clone(), row)));
            rows.len() <= size
        };
        self.ledger.scan(Table::Jobs, &[], after.as_ref().map(|key| &key[..]), &mut show).map_err(refused)?;
        let page = Page::of(rows.into_iter(), size);
        Ok(Response::new(pb::ListJobsResponse { jobs: page.rows, next_page_token: page.next }))
    }

    async fn get(&self, request: Request<pb::GetJobRequest>) -> Answer<pb::Job> {
        self.job(&request.into_inner().job).map(Response::new)
    }

    async fn stop(&self, request: Request<pb::StopJobRequest>) -> Answer<pb::Job> {
        let id = request.into_inner().job;
        if let Some(number) = job_number(&id) {
            let (done, heard) = oneshot::channel();
            let done = Box::new(move |result| drop(done.send(result)));
            let is_running = self.ask(move |head, desk| head.stop_job(desk, number, done)).await?;
            if is_running {
                heard.await.unwrap_or(Err(LedgerError::Closed)).map_err(refused)?;
            }
        }
        self.job(&id).map(Response::new)
    }
}

#[tonic::async_trait]
impl pb::kv_server::Kv for Services {
    async fn put(&self, request: Request<pb::PutRequest>) -> Answer<pb::PutResponse> {
        let pb::PutRequest { namespace, key, value, only_if_absent } = request.into_inner();
        let replaced = self.kv.put(&namespace, &key, value, only_if_absent).await.map_err(kv_refused)?;
        if replaced && only_if_absent {
            return Err(Status::already_exists("the key has a value"));
        }
        Ok(Response::new(pb::PutResponse { replaced }))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Answer<pb::GetResponse> {
        let pb::GetRequest { namespace, key } = request.into_inner();
        let value = self.kv.get(&namespace, &key).map_err(kv_refused)?;
        let value = value.ok_or_else(|| Status::not_found("the key has no value"))?;
        Ok(Response::new(pb::GetResponse { value }))
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Answer<pb::DeleteResponse> {
        let pb::DeleteRequest { namespace, key } = request.into_inner();
        let existed = self.kv.delete(&namespace, &key).await.map_err(kv_refused)?;
        Ok(Response::new(pb::DeleteResponse { existed }))
    }

    async fn list(&self, request: Request<pb::ListKeysRequest>) -> Answer<pb::ListKeysResponse> {
        let pb::ListKeysRequest { namespace, prefix, page_size, page_token } = request.into_inner();
        let after = page::after(&page_token, key_of)?;
        let listed = self.kv.list(&namespace, &prefix, after.as_deref(), page::size(page_size));
        let (keys, is_cut) = listed.map_err(kv_refused)?;
        let next_page_token = keys.last().filter(|_| is_cut).map(|key| token_of(key)).unwrap_or_default();
        Ok(Response::new(pb::ListKeysResponse { keys, next_page_token }))
    }
}

fn job_row(number: u64, bytes: &[u8]) -> Option<pb::Job> {
    let job: Job = serde_json::from_slice(bytes).ok()?;
    Some(pb::Job {
        job: format!("j{number}"),
        state: job.state.word().to_owned(),
        owner: job.owner.to_string(),
        started_ms: job.started_ms,
        ended_ms: job.ended_ms,
        binary: job.binary,
        exit_code: job.exit_code,
    })
}

/// Keys are any bytes, and tokens texts.
fn token_of(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key_of(token: &str) -> Option<Vec<u8>> {
    let digits = token.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
    digits.collect()
}

fn kv_refused(error: KvError) -> Status {
    match error {
        KvError::Ledger(error) => refused(error),
        wrong => Status::invalid_argument(wrong.to_string()),
    }
}

fn refused(error: LedgerError) -> Status {
    let text = error.to_string();
    match error {
        LedgerError::Busy { .. } => Status::resource_exhausted(text),
        LedgerError::Closed => Status::unavailable(text),
        LedgerError::Failed { .. } => Status::internal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_any_key() {
        for key in [&b"a"[..], b"\x00\xff", "é".as_bytes()] {
            assert_eq!(key_of(&token_of(key)).as_deref(), Some(key));
        }
        assert!(key_of("0g").is_none() && key_of("é").is_none());
    }
}
