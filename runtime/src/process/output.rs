//! What worker processes write: each line goes on to the driver's standard error with the process's id, and the last
//! lines are kept for whoever asks why the process died.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{BufRead, BufReader, PipeReader, Read, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that are kept for the error of a death.
const KEPT_LINES: usize = 5;
/// The longest line, in bytes; a longer one goes on in the next.
const LINE_BYTES_MAX: u64 = 4096;
/// Lines that go on within a second; the rest are counted.
const LINES_A_SECOND: u32 = 1000;

/// The last lines that a process wrote.
#[derive(Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn keep(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// `; it wrote last: …`, or nothing.
    pub(crate) fn told(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("; it wrote last: {}", lines.join(" / "))
    }
}

/// Hands lines on until the pipe's end: all of them to `keep`, and to `pass_on` what is to be read now.
pub(crate) fn forward(pipe: PipeReader, last: &LastLines, mut keep: impl FnMut(&str), mut pass_on: impl FnMut(String)) {
    let mut reader = BufReader::new(pipe);
    let mut flow = Flow::new(Instant::now());
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        last.keep(line);
        keep(line);
        flow.take(line, Instant::now()).for_each(&mut pass_on);
    }
    flow.end().for_each(pass_on);
}

/// Writes a line of a process where the driver's own messages go. What can't be written is lost, as a print would be.
pub(crate) fn say(who: impl Display, line: &str) {
    let _ = writeln!(stderr().lock(), "({who}) {line}");
}

/// Decides what of a process's lines goes on: repetitions are counted, and so is what comes too fast.
struct Flow {
    second: Instant,
    in_second: u32,
    suppressed: u64,
    line: String,
    repeated: u64,
}

impl Flow {
    fn new(now: Instant) -> Self {
        Self { second: now, in_second: 0, suppressed: 0, line: String::new(), repeated: 0 }
    }

    /// The lines to be written now that `line` has come.
    fn take(&mut self, line: &str, now: Instant) -> impl Iterator<Item = String> + use<> {
        let mut lines = Vec::new();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            lines.extend(self.suppressed());
            (self.second, self.in_second) = (now, 0);
        }
        if line == self.line && !line.is_empty() {
            self.repeated += 1;
            return lines.into_iter();
        }
        if self.in_second >= LINES_A_SECOND {
            self.suppressed += 1;
            return lines.into_iter();
        }
        self.in_second += 1;
        lines.extend(self.repeated());
        line.clone_into(&mut self.line);
        lines.push(line.to_owned());
        lines.into_iter()
    }

    /// The lines to be written at the end.
    fn end(mut self) -> impl Iterator<Item = String> {
        self.repeated().into_iter().chain(self.suppressed())
    }

    fn repeated(&mut self) -> Option<String> {
        let repeated = std::mem::take(&mut self.repeated);
        (repeated > 0).then(|| format!("(the same line {repeated} times more)"))
    }

    fn suppressed(&mut self) -> Option<String> {
        let suppressed = std::mem::take(&mut self.suppressed);
        (suppressed > 0).then(|| format!("({suppressed} lines were left out: more than {LINES_A_SECOND} in a second)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted() {
        let now = Instant::now();
        let mut flow = Flow::new(now);
        let mut lines: Vec<String> = ["a", "a", "a", "b"].iter().flat_map(|line| flow.take(line, now)).collect();
        lines.extend(flow.end());
        assert_eq!(lines, ["a", "(the same line 2 times more)", "b"]);
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let now = Instant::now();
        let mut flow = Flow::new(now);
        let flood: Vec<String> = (0..LINES_A_SECOND + 500).flat_map(|i| flow.take(&i.to_string(), now)).collect();
        assert_eq!(flood.len(), LINES_A_SECOND as usize);
        let later: Vec<String> = flow.take("later", now + Duration::from_secs(1)).collect();
        assert_eq!(later, ["(500 lines were left out: more than 1000 in a second)", "later"]);
    }

    #[test]
    fn the_last_lines_are_kept() {
        let last = LastLines::default();
        assert_eq!(last.told(), "");
        (0..7).for_each(|i| last.keep(&i.to_string()));
        assert_eq!(last.told(), "; it wrote last: 2 / 3 / 4 / 5 / 6");
    }
}
