#[rayline::main(cpus = 4)]
fn main() {}
