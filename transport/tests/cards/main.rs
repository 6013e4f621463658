//! Two processes with cards: objects between them, and what goes wrong on the way. Runs where cards are, as in the
//! virtual machine of `tests/vm/run`, whose links it delays and cuts; elsewhere it says why it doesn't.
#![allow(clippy::unwrap_used)]

mod holder;
mod links;
mod scenarios;

use rayline_transport::rdma::probe;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some((&"holder", rest)) = arguments.split_first() {
        holder::run(rest);
        return ExitCode::SUCCESS;
    }
    let report = probe();
    if !report.is_usable() {
        println!("skipped: {report}tests/vm/run of this crate runs it with software cards");
        return if arguments.contains(&"--require-cards") { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    print!("{report}");
    let wanted: Vec<&&str> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut ran = 0;
    for (name, scenario) in scenarios::ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| name.contains(**wanted)) {
            let began = Instant::now();
            scenario();
            ran += 1;
            println!("test {name} ... ok ({:.1} s)", began.elapsed().as_secs_f64());
        }
    }
    // In the words of the standard harness, so that whoever counts results counts these.
    println!("\ntest result: ok. {ran} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}
