use rayline::prelude::*;

#[task]
fn f(values: &Vec<i64>) -> impl Iterator<Item = i64> + Send {
    values.clone().into_iter()
}

fn main() {}
