//! The optimiser against the CPU.

use rayline_gpu::kernels::{Adam, AdamOptions, AdamProgress, AdamState};
use rayline_gpu::{DeviceBuffer, GpuError, Graph};

use crate::bits;
use crate::common::{Bench, numbers};

const RATE: f32 = 1e-2;

/// Operation by operation as the kernel, with a scale that is given.
struct Reference {
    parameters: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
}

impl Reference {
    fn new(parameters: &[f32]) -> Self {
        let zeros = vec![0.0; parameters.len()];
        Self { parameters: parameters.to_vec(), first: zeros.clone(), second: zeros, steps: 0 }
    }

    fn step(&mut self, gradient: &[f32], scale: f32, options: AdamOptions) {
        self.steps += 1;
        let AdamOptions { beta1, beta2, epsilon, .. } = options;
        let correction = |beta: f32| (1.0 / (1.0 - f64::from(beta).powi(self.steps))) as f32;
        let (step_size, second_correction) = (RATE * correction(beta1), correction(beta2));
        for (at, g) in gradient.iter().enumerate() {
            let g = g * scale;
            let m = beta1 * self.first[at] + (1.0 - beta1) * g;
            let v = beta2 * self.second[at] + (1.0 - beta2) * g * g;
            (self.first[at], self.second[at]) = (m, v);
            self.parameters[at] -= step_size * m / ((v * second_correction).sqrt() + epsilon);
        }
    }
}

fn norm(gradient: &[f32]) -> f64 {
    gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt()
}

struct Optimised {
    adam: Adam,
    state: AdamState,
    parameters: DeviceBuffer<f32>,
    gradient: DeviceBuffer<f32>,
    rate: DeviceBuffer<f32>,
}

impl Optimised {
    fn new(bench: &Bench, parameters: &[f32], options: AdamOptions) -> Self {
        let Bench { stream, lease, modules, .. } = bench;
        Self {
            adam: Adam::new(modules, options).unwrap(),
            state: AdamState::new(lease, stream, parameters.len()).unwrap(),
            parameters: lease.upload(stream, parameters).unwrap(),
            gradient: lease.zeros(stream, parameters.len()).unwrap(),
            rate: lease.upload(stream, &[RATE]).unwrap(),
        }
    }

    fn step(&mut self, stream: &rayline_gpu::Stream) -> Result<(), GpuError> {
        self.adam.step(stream, &mut self.parameters, &self.gradient, &self.rate, &mut self.state)
    }
}

#[test]
fn without_a_bound_steps_are_those_of_the_cpu_bit_by_bit() {
    let bench = Bench::new();
    for len in [1, 3000, 70_000] {
        let parameters = numbers(1, len);
        let mut device = Optimised::new(&bench, &parameters, AdamOptions::default());
        let mut reference = Reference::new(&parameters);
        for step in 1..=3u64 {
            let gradient = numbers(10 + step, len);
            bench.stream.upload(&gradient, &mut device.gradient).unwrap();
            device.step(&bench.stream).unwrap();
            reference.step(&gradient, 1.0, device.adam.options);
            let AdamProgress { steps, norm: found } = device.state.progress(&bench.stream).unwrap();
            assert_eq!(steps, step);
            assert!((f64::from(found) / norm(&gradient) - 1.0).abs() < 1e-6, "{found} against {}", norm(&gradient));
        }
        assert_eq!(bits(&bench.stream.to_vec(&device.parameters).unwrap()), bits(&reference.parameters), "{len}");
    }
}

#[test]
fn a_bound_scales_the_gradient_down_and_never_up() {
    let bench = Bench::new();
    let (parameters, gradient) = (numbers(1, 2000), numbers(2, 2000));
    for norm_max in [0.5, 40.0, 1e6] {
        let options = AdamOptions { norm_max: Some(norm_max), ..AdamOptions::default() };
        let mut device = Optimised::new(&bench, &parameters, options);
        bench.stream.upload(&gradient, &mut device.gradient).unwrap();
        device.step(&bench.stream).unwrap();
        let mut reference = Reference::new(&parameters);
        let scale = (f64::from(norm_max) / (norm(&gradient) + 1e-6)).min(1.0);
        reference.step(&gradient, scale as f32, options);
        let found = bench.stream.to_vec(&device.parameters).unwrap();
        let worst = found.iter().zip(&reference.parameters).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "{worst:e} under {norm_max}");
    }
}

#[test]
fn a_gradient_that_is_no_number_shows() {
    let bench = Bench::new();
    let options = AdamOptions { norm_max: Some(0.5), ..AdamOptions::default() };
    let mut device = Optimised::new(&bench, &[1.0, 2.0], options);
    bench.stream.upload(&[f32::NAN, 1.0], &mut device.gradient).unwrap();
    device.step(&bench.stream).unwrap();
    assert!(device.state.progress(&bench.stream).unwrap().norm.is_nan());
    assert!(bench.stream.to_vec(&device.parameters).unwrap().iter().all(|number| number.is_nan()));
}

#[test]
fn a_step_in_a_graph_can_be_replayed() {
    let bench = Bench::new();
    let (parameters, gradient) = (numbers(1, 1500), numbers(2, 1500));
    let mut device = Optimised::new(&bench, &parameters, AdamOptions::default());
    bench.stream.upload(&gradient, &mut device.gradient).unwrap();
    let graph = Graph::capture(&bench.stream, |stream| device.step(stream)).unwrap();
    assert_eq!(bench.stream.to_vec(&device.parameters).unwrap(), parameters, "noting work does none");
    let mut reference = Reference::new(&parameters);
    for _ in 0..4 {
        graph.replay().unwrap();
        reference.step(&gradient, 1.0, device.adam.options);
    }
    assert_eq!(bits(&bench.stream.to_vec(&device.parameters).unwrap()), bits(&reference.parameters));
    assert_eq!(device.state.progress(&bench.stream).unwrap().steps, 4);
}

#[test]
fn arrays_of_another_length_are_refused() {
    let bench = Bench::new();
    let mut device = Optimised::new(&bench, &[1.0, 2.0], AdamOptions::default());
    device.gradient = bench.lease.zeros(&bench.stream, 3).unwrap();
    let error = device.step(&bench.stream).unwrap_err();
    assert!(matches!(error, GpuError::Length { what: "gradient", expected: 2, found: 3 }), "{error}");
}
