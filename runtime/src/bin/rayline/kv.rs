//! `rayline kv`: small values by key, durable, and the same for all of the cluster.

use crate::connect::Connect;
use crate::failure::Failure;
use clap::{Args, Subcommand};
use rayline::cluster::pb;
use std::io::Read;

/// Keeps small values by key.
#[derive(Debug, Args)]
pub struct Kv {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Put a value.
    Put {
        #[command(flatten)]
        key: Key,
        /// The value; from stdin where there is none.
        value: Option<String>,
        /// Fail where the key has a value.
        #[arg(long)]
        if_absent: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Write the value of a key, as it is.
    Get {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        connect: Connect,
    },
    /// Take a key away.
    Delete {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        connect: Connect,
    },
    /// List keys, one a line.
    List {
        /// Those that begin so.
        #[arg(default_value = "")]
        prefix: String,
        #[command(flatten)]
        space: Space,
        #[command(flatten)]
        connect: Connect,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Key {
    /// The key.
    key: String,
    #[command(flatten)]
    space: Space,
}

#[derive(Debug, Args)]
struct Space {
    /// Keys of one namespace are nothing to another.
    #[arg(long, default_value = "", hide_default_value = true)]
    namespace: String,
}

impl Kv {
    pub fn run(&self) -> Result<(), Failure> {
        match &self.what {
            What::Put { key, value, if_absent, connect } => {
                let value = match value {
                    Some(value) => value.clone().into_bytes(),
                    None => from_stdin()?,
                };
                let (namespace, name) = key.parts();
                let put = pb::PutRequest { namespace, key: name, value, only_if_absent: *if_absent };
                connect.client()?.put(put).map(drop).map_err(Failure::from)
            }
            What::Get { key, connect } => {
                let (namespace, name) = key.parts();
                let value = connect.client()?.get(namespace, name)?;
                crate::write(&value.ok_or_else(|| key.absent())?)
            }
            What::Delete { key, connect } => {
                let (namespace, name) = key.parts();
                if connect.client()?.delete(namespace, name)? { Ok(()) } else { Err(key.absent()) }
            }
            What::List { prefix, space, connect, json } => {
                let keys = connect.client()?.keys(&space.namespace, prefix.as_bytes())?;
                let keys: Vec<_> = keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
                if *json {
                    return crate::write_json(&keys);
                }
                crate::write(keys.iter().map(|key| format!("{key}\n")).collect::<String>().as_bytes())
            }
        }
    }
}

impl Key {
    fn parts(&self) -> (String, Vec<u8>) {
        (self.space.namespace.clone(), self.key.clone().into_bytes())
    }

    fn absent(&self) -> Failure {
        Failure::said(format!("the key `{}` has no value", self.key))
    }
}

fn from_stdin() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    std::io::stdin().lock().read_to_end(&mut value).map_err(|error| Failure::failed(&error))?;
    Ok(value)
}
