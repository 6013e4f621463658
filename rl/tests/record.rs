//! Records are read back by decoders of their own, written from the formats' descriptions and not from the writers.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use rayline_rl::es::{EsConfig, EsTrainer};
use rayline_rl::ppo::{PpoConfig, Trainer};
use rayline_rl::record::{CsvFile, EventFile, Formats, RecordError, Recorder, Scalars};

/// An event, as far as scalars go.
#[derive(Debug, Default, PartialEq)]
struct Event {
    step: u64,
    wall_time: f64,
    version: String,
    is_restart: bool,
    scalars: Vec<(String, f32)>,
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// CRC-32C bit by bit: reflected, polynomial 0x1EDC6F41.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

fn assert_checksum(bytes: &[u8], stored: &[u8]) {
    let crc = crc32c(bytes);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(masked, u32::from_le_bytes(stored.try_into().unwrap()));
}

/// The records of a file, with both checksums of each checked.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        assert_checksum(&bytes[..8], &bytes[8..12]);
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let (record, rest) = bytes[12..].split_at(length);
        assert_checksum(record, &rest[..4]);
        records.push(record);
        bytes = &rest[4..];
    }
    records
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The fields of a message, by number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (content, rest) = bytes.split_at(length);
        fields.push((key >> 3, Field::Bytes(content)));
        bytes = rest;
    }
    fields
}

fn scalar(value: &[u8]) -> (String, f32) {
    let (mut name, mut number) = (String::new(), f32::NAN);
    for field in fields(value) {
        match field {
            (1, Field::Bytes(tag)) => name = String::from_utf8(tag.to_vec()).unwrap(),
            (2, Field::Bytes(bytes)) => number = f32::from_le_bytes(bytes.try_into().unwrap()),
            (other, _) => panic!("field {other} of a value"),
        }
    }
    (name, number)
}

fn event(record: &[u8]) -> Event {
    let mut event = Event::default();
    for field in fields(record) {
        match field {
            (1, Field::Bytes(time)) => event.wall_time = f64::from_le_bytes(time.try_into().unwrap()),
            (2, Field::Number(step)) => event.step = step,
            (3, Field::Bytes(version)) => event.version = String::from_utf8(version.to_vec()).unwrap(),
            (5, Field::Bytes(summary)) => event.scalars.extend(fields(summary).into_iter().map(|value| match value {
                (1, Field::Bytes(value)) => scalar(value),
                (other, _) => panic!("field {other} of a summary"),
            })),
            (7, Field::Bytes(log)) => event.is_restart = log == [8, 1],
            (other, _) => panic!("field {other} of an event"),
        }
    }
    event
}

/// The events of all files in a folder, in the order of their names.
fn events(folder: &Path) -> Vec<Event> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().contains("tfevents"));
    paths.sort();
    paths.iter().flat_map(|path| records(&fs::read(path).unwrap()).into_iter().map(event).collect::<Vec<_>>()).collect()
}

fn scalars(step: u64, value: Option<f64>) -> Scalars {
    Scalars { step, values: vec![("rollout/ep_rew_mean", value), ("losses/entropy", Some(0.5))] }
}

#[test]
fn the_checksum_of_the_decoder_is_that_of_the_standard() {
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
}

#[test]
fn events_come_back_with_step_name_value_and_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(folder.path()).unwrap();
    file.record(&scalars(300, Some(-12.25))).unwrap();
    file.record(&scalars(u64::from(u32::MAX) + 7, None)).unwrap();
    file.flush().unwrap();
    let events = events(folder.path());
    assert_eq!((events[0].version.as_str(), events.len()), ("brain.Event:2", 3));
    assert_eq!(events[1].step, 300);
    assert_eq!(events[1].scalars, [("rollout/ep_rew_mean".to_owned(), -12.25), ("losses/entropy".to_owned(), 0.5)]);
    assert!(events[1].wall_time > 1.6e9, "{}", events[1].wall_time);
    assert_eq!((events[2].step, events[2].scalars.len()), (u64::from(u32::MAX) + 7, 1));
}

#[test]
fn a_table_has_one_row_a_step_and_empty_cells_for_what_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut table = CsvFile::create(&path).unwrap();
    table.record(&scalars(1, None)).unwrap();
    table.record(&scalars(2, Some(1e-7))).unwrap();
    table.flush().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "step,rollout/ep_rew_mean,losses/entropy\n1,,0.5\n2,0.0000001,0.5\n");
    let other = Scalars { step: 3, values: vec![("losses/entropy", None)] };
    let refused = table.record(&other).unwrap_err();
    assert!(matches!(&refused, RecordError::Columns { .. }), "{refused}");
    assert!(refused.to_string().contains("step,losses/entropy"), "{refused}");
}

#[test]
fn numbers_that_json_lacks_are_left_out_of_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::create(folder.path(), Formats { json_lines: true, ..NOTHING }).unwrap();
    recorder.record(scalars(5, Some(f64::NAN))).unwrap();
    recorder.flush().unwrap();
    let text = fs::read_to_string(folder.path().join("progress.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((line["step"].as_u64(), line["losses/entropy"].as_f64()), (Some(5), Some(0.5)));
    assert!(line.get("rollout/ep_rew_mean").is_none() && line["charts/SPS"].is_number(), "{line}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the other records weren't asked for");
}

const NOTHING: Formats = Formats { tensorboard: false, csv: false, json_lines: false };

#[test]
fn a_resumed_record_has_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::create(folder.path(), Formats::ALL).unwrap();
    for step in [10, 20, 30] {
        recorder.record(scalars(step, Some(1.0))).unwrap();
    }
    drop(recorder);
    // As a crash leaves it: with half of a line.
    let (csv, lines) = (folder.path().join("progress.csv"), folder.path().join("progress.jsonl"));
    fs::write(&csv, fs::read_to_string(&csv).unwrap() + "40,1").unwrap();
    fs::write(&lines, fs::read_to_string(&lines).unwrap() + "{\"step\":2").unwrap();
    let mut recorder = Recorder::resume(folder.path(), Formats::ALL, 20).unwrap();
    recorder.record(scalars(30, Some(2.0))).unwrap();
    drop(recorder);
    let rows = fs::read_to_string(&csv).unwrap();
    let steps: Vec<&str> = rows.lines().map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(steps, ["step", "10", "20", "30"]);
    assert!(rows.lines().last().unwrap().starts_with("30,2,"), "{rows}");
    assert_eq!(fs::read_to_string(&lines).unwrap().lines().count(), 3);
    let events = events(folder.path());
    let restart = events.iter().find(|event| event.is_restart).expect("a restart is told");
    assert_eq!((restart.step, events.last().unwrap().step), (21, 30));
}

#[test]
fn ppo_is_recorded_under_the_names_of_its_users_dashboards() {
    let folder = tempfile::tempdir().unwrap();
    let config = PpoConfig { total_steps: 3_000, ..PpoConfig::cartpole() };
    let mut trainer = Trainer::new("CartPole-v1", config, 1).unwrap();
    let mut recorder = Recorder::create(folder.path(), Formats::ALL).unwrap();
    let mut means = Vec::new();
    let run = trainer.run(|progress| {
        means.push(progress.episodes.mean_return().unwrap_or(f64::NAN) as f32);
        recorder.record(Scalars::of_ppo(&progress)).unwrap();
        ControlFlow::Continue(())
    });
    run.unwrap();
    recorder.flush().unwrap();
    let events = events(folder.path());
    let last: Vec<&str> = events.last().unwrap().scalars.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "rollout/ep_rew_mean",
        "rollout/ep_len_mean",
        "charts/episodic_return",
        "charts/learning_rate",
        "charts/SPS",
        "losses/value_loss",
        "losses/policy_loss",
        "losses/entropy",
        "losses/approx_kl",
        "losses/clipfrac",
        "losses/explained_variance",
        "time/time_elapsed",
    ] {
        assert!(last.contains(&name), "{name} is missing in {last:?}");
    }
    let recorded = events.last().unwrap().scalars.iter().find(|(name, _)| name == "rollout/ep_rew_mean");
    assert_eq!(recorded.map(|(_, value)| value), means.last());
    assert_eq!(events.len(), 1 + means.len());
}

#[test]
fn evolution_strategies_are_recorded_with_their_evaluations() {
    let folder = tempfile::tempdir().unwrap();
    let config = EsConfig { total_steps: 5_000, eval_every: 2, ..EsConfig::cartpole() };
    let mut trainer = EsTrainer::new("CartPole-v1", config, 1).unwrap();
    let mut recorder = Recorder::create(folder.path(), Formats::ALL).unwrap();
    let (mut rounds, mut evaluations) = (0, 0);
    let run = trainer.run(|progress| {
        rounds += 1;
        evaluations += usize::from(progress.evaluation.is_some());
        recorder.record(Scalars::of_es(&progress)).unwrap();
        ControlFlow::Continue(())
    });
    run.unwrap();
    recorder.flush().unwrap();
    let events = events(folder.path());
    let with = |name: &str| events.iter().filter(|event| event.scalars.iter().any(|(found, _)| found == name)).count();
    assert!(evaluations > 0 && evaluations < rounds);
    assert_eq!((with("eval/mean_reward"), with("rollout/ep_rew_mean")), (evaluations, rounds));
}
