//! The links of the virtual machine, which are slowed down and cut.

use std::process::Command;

/// A link whose packets are delayed or dropped, until this ends.
pub struct Netem {
    device: &'static str,
}

impl Netem {
    pub fn new(device: &'static str, what: &[&str]) -> Self {
        tc(&["qdisc", "add", "dev", device, "root", "netem"], what);
        Self { device }
    }
}

impl Drop for Netem {
    fn drop(&mut self) {
        tc(&["qdisc", "del", "dev", self.device, "root"], &[]);
    }
}

fn tc(arguments: &[&str], rest: &[&str]) {
    let status = Command::new("tc").args(arguments).args(rest).status().expect("the virtual machine has tc");
    assert!(status.success(), "tc {arguments:?} {rest:?}: {status}");
}
