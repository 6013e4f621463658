use rayline::prelude::*;

#[task]
fn f(values: &Vec<i64>) -> usize {
    values.len()
}

fn main() {
    let values = vec![1, 2, 3];
    let _ = f::remote(&values);
}
