//! A type that has all of serde in it, nested without end. For the tests and the fuzz target.

use rayline_store::{Buf, Element, Region, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// One of everything that serde knows.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub enum Node {
    Leaf,
    Empty(Nothing),
    Flag(bool),
    Small(i8, u8, i16, u16),
    Large { i: i32, u: u32, j: i64, w: u64 },
    Huge(i128, u128),
    Float(f32, f64),
    Letter(char),
    Text(String),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Numbers(Vec<u16>),
    Units(Vec<()>),
    Image(Tensor<f32>),
    Counts(Buf<i64>),
    Mask(Buf<bool>),
    Wrapped(Wrapper),
    Pair(Box<Node>, [Tensor<u8>; 2]),
    List(Vec<Node>),
    Named(BTreeMap<String, Node>),
    Keyed(HashMap<u32, Buf<u32>>),
    Record(Box<Record>),
    Choice(Choice),
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Nothing;

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Wrapper(pub Option<Buf<f64>>);

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Record {
    pub left: Option<Node>,
    pub unit: (),
    pub right: Option<Node>,
    pub steps: Tensor<f64>,
    #[serde(skip)]
    pub cache: u8,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub enum Choice {
    One(u8),
    Two { tensor: Tensor<i16> },
}

impl Node {
    /// Calls `visit` with the bytes of each buffer that isn't empty.
    pub fn buffers(&self, visit: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Image(tensor) => visit_buf(tensor.data(), visit),
            Self::Counts(buf) => visit_buf(buf, visit),
            Self::Mask(buf) => visit_buf(buf, visit),
            Self::Wrapped(Wrapper(Some(buf))) => visit_buf(buf, visit),
            Self::Pair(node, tensors) => {
                node.buffers(visit);
                tensors.iter().for_each(|tensor| visit_buf(tensor.data(), visit));
            }
            Self::List(nodes) => nodes.iter().for_each(|node| node.buffers(visit)),
            Self::Named(nodes) => nodes.values().for_each(|node| node.buffers(visit)),
            Self::Keyed(bufs) => bufs.values().for_each(|buf| visit_buf(buf, visit)),
            Self::Record(record) => {
                record.left.iter().chain(&record.right).for_each(|node| node.buffers(visit));
                visit_buf(record.steps.data(), visit);
            }
            Self::Choice(Choice::Two { tensor }) => visit_buf(tensor.data(), visit),
            _ => {}
        }
    }

    /// All buffers lie within `region`, aligned to 64 if they are large.
    pub fn assert_views_of(&self, region: &Region) {
        let bounds = region.as_ptr_range();
        self.buffers(&mut |bytes| {
            let part = bytes.as_ptr_range();
            assert!(bounds.start <= part.start && part.end <= bounds.end, "a buffer is a copy");
            assert!(bytes.len() < 1024 || part.start.addr() % 64 == 0, "a segment is not aligned");
        });
    }
}

fn visit_buf<T: Element>(buf: &Buf<T>, visit: &mut dyn FnMut(&[u8])) {
    if !buf.is_empty() {
        visit(buf.as_bytes());
    }
}
