//! `rayline status` and `rayline list`: tables for people, JSON for programs.

use crate::connect::Connect;
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use rayline::cluster::pb;
use serde::Serialize;

/// The state of a node that counts.
const ALIVE: &str = "alive";

/// Shows nodes, resources, and demand that waits and why.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    connect: Connect,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Lists nodes, actors or placement groups.
#[derive(Debug, Args)]
pub struct List {
    /// What to list.
    what: What,
    #[command(flatten)]
    connect: Connect,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Nodes,
    Actors,
    Groups,
}

/// What `status --json` writes.
#[derive(Serialize)]
struct Overview {
    nodes: Vec<pb::Node>,
    /// Of the nodes that are alive.
    total: pb::Resources,
    used: pb::Resources,
    waiting: Vec<pb::Waiting>,
}

impl Status {
    pub fn run(&self) -> Result<(), Failure> {
        let client = self.connect.client()?;
        // In this order a node that is waited for is shown with what it is used for.
        let (waiting, nodes) = (client.info()?.waiting, client.nodes()?);
        let alive = || nodes.iter().filter(|node| node.state == ALIVE);
        let total = sum(alive().filter_map(|node| node.total.as_ref()));
        let used = sum(alive().filter_map(|node| node.used.as_ref()));
        let overview = Overview { total, used, waiting, nodes };
        if self.json { crate::write_json(&overview) } else { crate::write(overview.text().as_bytes()) }
    }
}

impl Overview {
    fn text(&self) -> String {
        let mut text = nodes(&self.nodes);
        let alive = self.nodes.iter().filter(|node| node.state == ALIVE).count();
        text += &format!("\n{alive} alive; used {}\n", used(&self.used, &self.total));
        if self.waiting.is_empty() {
            return text + "nothing waits\n";
        }
        let rows = self.waiting.iter().map(|row| {
            let who = if row.count == 1 { row.who.clone() } else { format!("{} ({})", row.who, row.count) };
            vec![who, amounts(row.demand.as_ref()), row.why.clone()]
        });
        text + "\n" + &table(&["WAITS", "WANTS", "WHY"], rows)
    }
}

impl List {
    pub fn run(&self) -> Result<(), Failure> {
        let client = self.connect.client()?;
        match self.what {
            What::Nodes => self.show(&client.nodes()?, nodes),
            What::Actors => self.show(&client.actors()?, actors),
            What::Groups => self.show(&client.groups()?, groups),
        }
    }

    fn show<R: Serialize>(&self, rows: &[R], text: impl Fn(&[R]) -> String) -> Result<(), Failure> {
        if self.json { crate::write_json(&rows) } else { crate::write(text(rows).as_bytes()) }
    }
}

fn nodes(rows: &[pb::Node]) -> String {
    let rows = rows.iter().map(|row| {
        let node = if row.is_head { format!("{} (head)", row.node) } else { row.node.clone() };
        let host = format!("{}/{}", row.host, row.pid);
        let used = used(&row.used.clone().unwrap_or_default(), &row.total.clone().unwrap_or_default());
        vec![node, row.state.clone(), host, row.address.clone(), used]
    });
    table(&["NODE", "STATE", "HOST/PID", "ADDRESS", "USED"], rows)
}

fn actors(rows: &[pb::Actor]) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows = rows.iter().map(|row| {
        let (name, node, why) = (or_dash(&row.name), or_dash(&row.node), or_dash(&row.why));
        vec![row.actor.clone(), name, row.state.clone(), node, amounts(row.demand.as_ref()), why]
    });
    table(&["ACTOR", "NAME", "STATE", "NODE", "HOLDS", "WHY"], rows)
}

fn groups(rows: &[pb::Group]) -> String {
    let rows = rows.iter().map(|row| {
        let state = if row.is_ready { "ready" } else { "waiting" };
        let nodes = if row.nodes.is_empty() { "-".to_owned() } else { row.nodes.join(" ") };
        let bundles =
            row.bundles.iter().map(|bundle| format!("{{{}}}", amounts(Some(bundle)))).collect::<Vec<_>>().join(" ");
        vec![row.group.clone(), row.strategy.clone(), state.to_owned(), nodes, bundles]
    });
    table(&["GROUP", "STRATEGY", "STATE", "NODES", "BUNDLES"], rows)
}

/// `cpu 1/4, memory 0/31.2 GiB`; what there is none of is left out.
fn used(used: &pb::Resources, total: &pb::Resources) -> String {
    let mut parts = vec![format!("cpu {}/{}", units(used.cpu), units(total.cpu))];
    if total.gpu > 0.0 {
        parts.push(format!("gpu {}/{}", units(used.gpu), units(total.gpu)));
    }
    parts.push(format!("memory {}/{}", gib(used.memory_bytes), gib(total.memory_bytes)));
    let named = total.named.iter().map(|(name, all)| {
        let used = used.named.get(name).copied().unwrap_or_default();
        format!("{name} {}/{}", units(used), units(*all))
    });
    parts.extend(named);
    parts.join(", ")
}

/// `cpu 1, gpu 0.5`; what is not asked for is left out.
fn amounts(resources: Option<&pb::Resources>) -> String {
    let mut parts = Vec::new();
    if let Some(resources) = resources {
        let counted = [("cpu", resources.cpu), ("gpu", resources.gpu)];
        parts.extend(counted.iter().filter(|(_, all)| *all > 0.0).map(|(name, all)| format!("{name} {}", units(*all))));
        if resources.memory_bytes > 0 {
            parts.push(format!("memory {}", gib(resources.memory_bytes)));
        }
        parts.extend(resources.named.iter().map(|(name, all)| format!("{name} {}", units(*all))));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn sum<'a>(all: impl Iterator<Item = &'a pb::Resources>) -> pb::Resources {
    let mut sum = pb::Resources::default();
    for one in all {
        sum.cpu = rounded(sum.cpu + one.cpu);
        sum.gpu = rounded(sum.gpu + one.gpu);
        sum.memory_bytes = sum.memory_bytes.saturating_add(one.memory_bytes);
        for (name, units) in &one.named {
            let known = sum.named.entry(name.clone()).or_default();
            *known = rounded(*known + units);
        }
    }
    sum
}

/// Amounts have four digits after the point; sums of what floats make of them have more.
fn rounded(units: f64) -> f64 {
    (units * 1e4).round() / 1e4
}

fn units(units: f64) -> String {
    rounded(units).to_string()
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Columns as wide as their widest cell, the last as it is.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|&name| name.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["long".to_owned(), "x".to_owned()], vec!["é".to_owned(), "yy".to_owned()]];
        assert_eq!(table(&["A", "B"], rows.into_iter()), "A     B\nlong  x\né     yy\n");
    }
}
