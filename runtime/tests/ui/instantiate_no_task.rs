rayline::instantiate!(Vec<u32>);

fn main() {}
