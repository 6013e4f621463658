//! Values of the model to test with.

use crate::model::{Choice, Node, Nothing, Record, Wrapper};
use proptest::collection::{btree_map, hash_map, vec};
use proptest::prelude::*;
use rayline_store::{Buf, Element, Tensor};

/// Any value: up to 5 levels of nodes, with small and large buffers in it. Floats are such as
/// equal themselves, and come back from JSON as they were.
pub fn nodes() -> impl Strategy<Value = Node> {
    leaves().prop_recursive(5, 32, 4, |node| {
        let record = (proptest::option::of(node.clone()), proptest::option::of(node.clone()), tensor(float64()));
        prop_oneof![
            (node.clone(), tensor(any::<u8>()), tensor(any::<u8>()))
                .prop_map(|(node, a, b)| Node::Pair(node.into(), [a, b])),
            vec(node.clone(), 0..4).prop_map(Node::List),
            btree_map("[a-z]{0,8}", node, 0..4).prop_map(Node::Named),
            record.prop_map(|(left, right, steps)| {
                Node::Record(Record { left, unit: (), right, steps, cache: 0 }.into())
            }),
        ]
    })
}

fn leaves() -> impl Strategy<Value = Node> {
    prop_oneof![
        Just(Node::Leaf),
        Just(Node::Empty(Nothing)),
        any::<bool>().prop_map(Node::Flag),
        any::<(i8, u8, i16, u16)>().prop_map(|(a, b, c, d)| Node::Small(a, b, c, d)),
        any::<(i32, u32, i64, u64)>().prop_map(|(i, u, j, w)| Node::Large { i, u, j, w }),
        // JSON has no wider integers.
        any::<(i64, u64)>().prop_map(|(a, b)| Node::Huge(a.into(), b.into())),
        (float32(), float64()).prop_map(|(a, b)| Node::Float(a, b)),
        any::<char>().prop_map(Node::Letter),
        any::<String>().prop_map(Node::Text),
        vec(any::<u8>(), 0..40).prop_map(Node::Bytes),
        vec(any::<u16>(), 0..40).prop_map(Node::Numbers),
        vec(Just(()), 0..40).prop_map(Node::Units),
        tensor(float32()).prop_map(Node::Image),
        buf(any::<i64>()).prop_map(Node::Counts),
        buf(any::<bool>()).prop_map(Node::Mask),
        proptest::option::of(buf(float64())).prop_map(|buf| Node::Wrapped(Wrapper(buf))),
        hash_map(any::<u32>(), buf(any::<u32>()), 0..3).prop_map(Node::Keyed),
        any::<u8>().prop_map(|n| Node::Choice(Choice::One(n))),
        tensor(any::<i16>()).prop_map(|tensor| Node::Choice(Choice::Two { tensor })),
    ]
}

fn float32() -> impl Strategy<Value = f32> {
    any::<i16>().prop_map(|n| f32::from(n) / 8.0)
}

fn float64() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|n| f64::from(n) / 8.0)
}

/// One number again and again: what is in a buffer matters less than how long it is.
fn buf<T: Element + 'static>(number: impl Strategy<Value = T>) -> impl Strategy<Value = Buf<T>> {
    (number, prop_oneof![3 => 0_usize..9, 1 => 0_usize..900]).prop_map(|(n, len)| std::iter::repeat_n(n, len).collect())
}

fn tensor<T: Element + 'static>(number: impl Strategy<Value = T>) -> impl Strategy<Value = Tensor<T>> {
    (buf(number), 0_u8..3).prop_map(|(data, kind)| {
        let len = data.len();
        let shape = match kind {
            0 => vec![len],
            1 => vec![1, len, 1],
            _ => vec![1, 1, 1, 1, len],
        };
        Tensor::from_shape_vec(shape, data).expect("all lengths but one are 1")
    })
}
