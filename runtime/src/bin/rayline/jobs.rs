//! `rayline jobs`: the programs that have joined the cluster.

use crate::connect::Connect;
use crate::failure::Failure;
use crate::show::table;
use clap::{Args, Subcommand};
use rayline::cluster::pb;
use std::time::Duration;

/// Lists jobs, or stops one.
#[derive(Debug, Args)]
pub struct Jobs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List jobs, those too that have ended.
    List {
        #[command(flatten)]
        connect: Connect,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take from a job all that it holds in the cluster: leases, actors that aren't detached, groups.
    Stop {
        /// Its id, as the list shows it.
        job: String,
        #[command(flatten)]
        connect: Connect,
    },
}

impl Jobs {
    pub fn run(&self) -> Result<(), Failure> {
        match &self.what {
            What::List { connect, json } => {
                let jobs = connect.client()?.jobs()?;
                if *json { crate::write_json(&jobs) } else { crate::write(jobs_table(&jobs).as_bytes()) }
            }
            What::Stop { job, connect } => {
                let job = connect.client()?.stop_job(job.clone())?;
                crate::write(format!("{} is {}\n", job.job, job.state).as_bytes())
            }
        }
    }
}

fn jobs_table(jobs: &[pb::Job]) -> String {
    let rows = jobs.iter().map(|job| {
        let took = job.ended_ms.map(|ended| Duration::from_millis(ended.saturating_sub(job.started_ms)));
        let took = took.map_or_else(|| "-".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
        let binary = job.binary.clone().unwrap_or_else(|| "-".to_owned());
        vec![job.job.clone(), job.state.clone(), job.owner.clone(), binary, took]
    });
    table(&["JOB", "STATE", "OWNER", "BINARY", "TOOK"], rows)
}
