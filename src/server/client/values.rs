#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::any::Any;

/// The values that are kept with a connection, found by their types.
#[derive(Default)]
pub(crate) struct Values(Option<Value>);

type Value = Box<dyn Any + Send + Sync>;

/// Two values, or values of values: most connections have one, which needs nothing around it.
struct Pair {
    last: Value,
    others: Value,
}

impl Values {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn put(&mut self, value: impl Send + Sync + 'static) {
        self.append(Self(Some(Box::new(value))));
    }

    /// Adds values; of those with the same type these count.
    pub(crate) fn append(&mut self, values: Self) {
        self.0 = match (self.0.take(), values.0) {
            (Some(others), Some(last)) => Some(Box::new(Pair { last, others })),
            (others, last) => last.or(others),
        };
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        find(&**self.0.as_ref()?)
    }
}

fn find<T: 'static>(value: &(dyn Any + Send + Sync)) -> Option<&T> {
    match value.downcast_ref::<Pair>() {
        Some(pair) => find(&*pair.last).or_else(|| find(&*pair.others)),
        None => value.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_type() {
        let mut values = Values::new();
        assert!(values.get::<u8>().is_none());
        values.put(1_u8);
        values.put("two");
        let mut later = Values::new();
        later.put(3_u32);
        later.put(4_u8);
        values.append(later);
        values.append(Values::new());
        assert_eq!(values.get::<u8>(), Some(&4));
        assert_eq!(values.get::<&str>(), Some(&"two"));
        assert_eq!(values.get::<u32>(), Some(&3));
        assert!(values.get::<u64>().is_none());
    }
}
