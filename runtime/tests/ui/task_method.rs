use rayline::prelude::*;

struct S;

impl S {
    #[task]
    fn f(&self) -> i64 {
        1
    }
}

fn main() {}
