//! Finding out that a generic type is one that we know.

use std::ptr;

/// `value` as a `B`, if `A` and `B` are the same type but for their lifetimes.
///
/// # Safety
/// Where `B` has other lifetimes than `A`, what is done with the result must be right for `A`'s too: nothing may be
/// read out of it for longer than `A` allows, nor written into it that `A` doesn't allow.
pub(crate) unsafe fn cast<A, B>(value: &mut A) -> Option<&mut B> {
    if typeid::of::<A>() != typeid::of::<B>() {
        return None;
    }
    // SAFETY: the types have the same layout and meaning, as they are the same but for lifetimes, and for those the
    // caller answers.
    Some(unsafe { &mut *ptr::from_mut(value).cast::<B>() })
}

/// `value` as a `B`, which it is.
///
/// # Panics
/// If it isn't.
pub(crate) fn must_be<A: 'static, B>(value: A) -> B {
    let mut value = Some(value);
    // SAFETY: `A` has no lifetimes, so if `B` is the same type but for lifetimes, then it is the same.
    let same = unsafe { cast::<Option<A>, Option<B>>(&mut value) };
    same.and_then(Option::take).expect("the caller knows that the types are the same")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_type_is_the_same() {
        // SAFETY: the lifetimes are the same.
        unsafe {
            assert_eq!(cast::<u32, u32>(&mut 5), Some(&mut 5));
            assert_eq!(cast::<u32, i32>(&mut 5), None);
            assert_eq!(cast::<&str, &str>(&mut "a"), Some(&mut "a"));
            assert_eq!(cast::<&str, &[u8]>(&mut "a"), None);
        }
        assert_eq!(must_be::<String, String>("a".into()), "a");
    }
}
