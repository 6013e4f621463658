#[rayline::main]
fn main(args: Vec<String>) {}
