//! How a tensor is serialized: as a struct of its shape, a sequence of `u64`, and its data.

use super::Tensor;
use crate::{Buf, Element};
use ndarray::IxDyn;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

impl<T: Element> Serialize for Tensor<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename = "Tensor", bound = "T: Element")]
        struct Parts<'a, T> {
            shape: &'a [usize],
            data: &'a Buf<T>,
        }
        Parts { shape: self.shape(), data: self.data() }.serialize(serializer)
    }
}

impl<'de, T: Element> Deserialize<'de> for Tensor<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Tensor", bound = "T: Element")]
        struct Parts<T> {
            shape: Shape,
            data: Buf<T>,
        }
        let Parts { shape, data } = Parts::deserialize(deserializer)?;
        Self::from_shape_vec(shape.0, data).map_err(D::Error::custom)
    }
}

/// A shape; of up to four dimensions, without an allocation.
struct Shape(IxDyn);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor).map(Shape)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = IxDyn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the length of each dimension")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lengths: A) -> Result<IxDyn, A::Error> {
        const FEW: usize = 4;
        let mut few = [0; FEW];
        for at in 0..FEW {
            match lengths.next_element()? {
                Some(length) => few[at] = length,
                None => return Ok(IxDyn(&few[..at])),
            }
        }
        let mut all = few.to_vec();
        while let Some(length) = lengths.next_element()? {
            all.push(length);
        }
        Ok(IxDyn(&all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Dimension;

    fn shape(text: &str) -> Result<Vec<usize>, serde_json::Error> {
        serde_json::from_str::<Shape>(text).map(|shape| shape.0.slice().to_vec())
    }

    #[test]
    fn shapes_of_all_sizes() {
        for text in ["[]", "[7]", "[1,2,3,4]", "[1,2,3,4,5]", "[1,2,3,4,5,6,7,8,9]"] {
            let expected: Vec<usize> = serde_json::from_str(text).unwrap();
            assert_eq!(shape(text).unwrap(), expected);
        }
        assert!(shape("[-1]").is_err());
        assert!(shape("7").unwrap_err().to_string().contains("the length of each dimension"));
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let tensor = |text: &str| serde_json::from_str::<Tensor<u8>>(text);
        assert_eq!(tensor(r#"{"shape":[2,2],"data":[1,2,3,4]}"#).unwrap().shape(), [2, 2]);
        let error = tensor(r#"{"shape":[2,2],"data":[1,2,3]}"#).unwrap_err();
        assert!(error.to_string().starts_with("the shape [2, 2] doesn't have 3 elements"), "{error}");
    }
}
