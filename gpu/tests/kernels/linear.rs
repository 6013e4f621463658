//! Dense layers against the CPU.

use rayline_gpu::GpuError;
use rayline_gpu::kernels::{Activation, Linear, LinearInputs, LinearShape};

use crate::common::{Bench, numbers};

/// The sums in double precision.
fn sums(input: &[f32], weights: &[f32], bias: &[f32], shape: LinearShape) -> Vec<f64> {
    let LinearShape { rows, inputs, outputs } = shape;
    let (inputs, outputs) = (inputs as usize, outputs as usize);
    let sum = |at: usize| {
        let (row, column) = (at / outputs, at % outputs);
        let products =
            (0..inputs).map(|k| f64::from(input[row * inputs + k]) * f64::from(weights[k * outputs + column]));
        f64::from(bias[column]) + products.sum::<f64>()
    };
    (0..rows as usize * outputs).map(sum).collect()
}

#[test]
fn the_device_computes_what_the_cpu_does() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let linear = Linear::new(&modules).unwrap();
    for [rows, inputs, outputs] in [[1, 1, 1], [64, 16, 64], [65, 17, 70], [130, 40, 3]] {
        let shape = LinearShape { rows, inputs, outputs };
        let [input, weights, bias] =
            [(1, rows * inputs), (2, inputs * outputs), (3, outputs)].map(|(seed, len)| numbers(seed, len as usize));
        let [x, w, b] = [&input, &weights, &bias].map(|array| lease.upload(&stream, array).unwrap());
        let layer = LinearInputs { input: &x, weights: &w, bias: &b };
        let mut out = lease.allocate(&stream, (rows * outputs) as usize).unwrap();
        let expected = sums(&input, &weights, &bias, shape);
        for activation in [Activation::None, Activation::Tanh] {
            linear.run(&stream, &layer, shape, activation, &mut out).unwrap();
            let applied = |sum: &f64| if activation == Activation::Tanh { sum.tanh() } else { *sum };
            let found = stream.to_vec(&out).unwrap();
            let errors = found.iter().zip(expected.iter().map(applied)).map(|(a, b)| (f64::from(*a) - b).abs());
            let worst = errors.fold(0.0, f64::max);
            assert!(worst < 4e-6, "{worst:e} for {shape:?} with {activation:?}");
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let [input, weights, bias] = [f32::NAN, 1.0, 0.0].map(|number| lease.upload(&stream, &[number]).unwrap());
    let mut out = lease.allocate(&stream, 1).unwrap();
    let layer = LinearInputs { input: &input, weights: &weights, bias: &bias };
    let shape = LinearShape { rows: 1, inputs: 1, outputs: 1 };
    Linear::new(&modules).unwrap().run(&stream, &layer, shape, Activation::Tanh, &mut out).unwrap();
    assert!(stream.to_vec(&out).unwrap()[0].is_nan());
}

#[test]
fn other_shapes_are_refused() {
    let Bench { stream, lease, modules, .. } = Bench::new();
    let linear = Linear::new(&modules).unwrap();
    let array = |len| lease.zeros::<f32>(&stream, len).unwrap();
    let (input, weights, bias, mut out) = (array(6), array(12), array(4), array(8));
    let layer = LinearInputs { input: &input, weights: &weights, bias: &bias };
    let mut run = |rows, inputs, outputs| {
        linear.run(&stream, &layer, LinearShape { rows, inputs, outputs }, Activation::None, &mut out)
    };
    run(2, 3, 4).unwrap();
    assert!(matches!(run(3, 3, 4), Err(GpuError::Length { what: "input", expected: 9, found: 6 })));
    assert!(matches!(run(2, 3, 5), Err(GpuError::Length { what: "weights", .. })));
    assert!(matches!(run(0, 3, 4), Err(GpuError::Range { what: "the number of rows", .. })));
}
