use rayline::prelude::*;

#[task]
fn f<T: Data>(x: T) -> T {
    x
}

rayline::instantiate!(f<std::rc::Rc<u32>>);

fn main() {}
