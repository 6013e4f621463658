//! Numbers with a shape.

mod serial;

use crate::{Buf, Element};
use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Dimension, IntoDimension, IxDyn};
use std::fmt;

/// An immutable array of any number of dimensions, in row-major order.
///
/// A clone shares the numbers, and so does a tensor that was decoded from a [`Region`](crate::Region). For arithmetic,
/// [`Tensor::view`] gives an `ndarray` view without a copy.
///
/// Invariant (TEN-1): the product of `shape` is `data.len()`, and the product without its zeros fits `isize`.
#[derive(Clone, PartialEq)]
pub struct Tensor<T> {
    shape: IxDyn,
    data: Buf<T>,
}

/// A shape that numbers don't have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// There are more or fewer numbers than the shape asks for.
    #[error("the shape {shape:?} doesn't have {len} elements")]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// The numbers there are.
        len: usize,
    },
    /// The tensor has another number of dimensions.
    #[error("the tensor has the shape {shape:?}, which isn't {dimensions} dimensions")]
    Dimensions {
        /// The shape it has.
        shape: Vec<usize>,
        /// The number of dimensions asked for.
        dimensions: usize,
    },
}

impl<T: Element> Tensor<T> {
    /// A tensor of `shape` with the numbers of `data` in row-major order: a `Vec`, whose memory it takes, or a [`Buf`].
    ///
    /// # Errors
    /// [`ShapeError::Length`] if the product of `shape` isn't the length of `data`.
    pub fn from_shape_vec(shape: impl IntoDimension, data: impl Into<Buf<T>>) -> Result<Self, ShapeError> {
        let (shape, data) = (shape.into_dimension().into_dyn(), data.into());
        if len_of(shape.slice()) != Some(data.len()) {
            return Err(ShapeError::Length { shape: to_vec(&shape), len: data.len() });
        }
        Ok(Self { shape, data })
    }

    /// The length of each dimension, the slowest first.
    pub fn shape(&self) -> &[usize] {
        self.shape.slice()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &Buf<T> {
        &self.data
    }

    /// The elements in row-major order, without their shape.
    pub fn into_data(self) -> Buf<T> {
        self.data
    }

    /// The tensor as `ndarray` sees it, without a copy.
    pub fn view(&self) -> ArrayViewD<'_, T> {
        ArrayView::from_shape(self.shape.clone(), &self.data).expect("TEN-1 is what ndarray asks for")
    }

    /// The same with the number of dimensions in its type, such as `view_as::<Ix2>()`.
    ///
    /// # Errors
    /// [`ShapeError::Dimensions`] if the tensor has another number of them.
    pub fn view_as<D: Dimension>(&self) -> Result<ArrayView<'_, T, D>, ShapeError> {
        let dimensions = || D::NDIM.unwrap_or_default();
        let wrong = |_| ShapeError::Dimensions { shape: to_vec(&self.shape), dimensions: dimensions() };
        self.view().into_dimensionality().map_err(wrong)
    }

    /// A copy that can be written.
    pub fn to_array(&self) -> ArrayD<T> {
        self.view().to_owned()
    }

    /// An array that can be written: without a copy if the tensor owns its memory and nothing else shares it.
    pub fn into_array(self) -> ArrayD<T> {
        ArrayD::from_shape_vec(self.shape, self.data.into_vec()).expect("TEN-1 is what ndarray asks for")
    }
}

impl<T: Element, D: Dimension> From<Array<T, D>> for Tensor<T> {
    /// Takes the array's memory if its elements lie in row-major order, else copies them into it.
    fn from(array: Array<T, D>) -> Self {
        let shape = array.raw_dim().into_dyn();
        if !array.is_standard_layout() {
            return Self { shape, data: array.iter().copied().collect() };
        }
        let len = array.len();
        let (vec, offset) = array.into_raw_vec_and_offset();
        let data = Buf::from(vec);
        let offset = offset.unwrap_or(0);
        if (offset, len) == (0, data.len()) {
            return Self { shape, data };
        }
        Self { shape, data: data.slice(offset..offset + len) }
    }
}

impl<T: Element> From<Buf<T>> for Tensor<T> {
    /// One dimension.
    fn from(data: Buf<T>) -> Self {
        Self { shape: IxDyn(&[data.len()]), data }
    }
}

impl<T: fmt::Debug> fmt::Debug for Tensor<T> {
    /// The shape, the length and the first eight elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?} {:?}", self.shape.slice(), self.data)
    }
}

/// The number of elements of a shape; `None` if its product, without zeros, is more than `isize::MAX`.
fn len_of(shape: &[usize]) -> Option<usize> {
    let (mut product, mut is_empty) = (1_usize, false);
    for &len in shape {
        is_empty |= len == 0;
        product = product.checked_mul(len.max(1)).filter(|&product| product <= isize::MAX as usize)?;
    }
    Some(if is_empty { 0 } else { product })
}

fn to_vec(shape: &IxDyn) -> Vec<usize> {
    shape.slice().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Axis, Ix1, Ix2, Ix3, array, s};

    #[test]
    fn the_shape_must_fit() {
        let new = |shape: &[usize], len| Tensor::from_shape_vec(shape, vec![0_u8; len]);
        assert_eq!(new(&[2, 3], 6).unwrap().shape(), [2, 3]);
        assert_eq!(new(&[], 1).unwrap().len(), 1);
        assert!(new(&[0, 5], 0).unwrap().is_empty());
        assert_eq!(new(&[2, 3], 5), Err(ShapeError::Length { shape: vec![2, 3], len: 5 }));
        assert!(new(&[usize::MAX, 2], 0).is_err());
        assert!(new(&[0, usize::MAX, 2], 0).is_err());
        assert!(new(&[1 << 32, 1 << 32], 0).is_err());
        assert_eq!(new(&[0, isize::MAX as usize], 0).unwrap().view().len(), 0);
    }

    #[test]
    fn views_do_not_copy() {
        let tensor = Tensor::from_shape_vec((2, 3), vec![1, 2, 3, 4, 5, 6]).unwrap();
        let view = tensor.view_as::<Ix2>().unwrap();
        assert_eq!((view.as_ptr(), view[[1, 0]]), (tensor.data().as_ptr(), 4));
        assert_eq!(tensor.view().sum(), 21);
        let wrong = ShapeError::Dimensions { shape: vec![2, 3], dimensions: 3 };
        assert_eq!(tensor.view_as::<Ix3>().map(|_| ()), Err(wrong));
    }

    #[test]
    fn arrays_go_in_and_out_without_a_copy() {
        let array = array![[1.0_f32, 2.0], [3.0, 4.0]];
        let address = array.as_ptr();
        let tensor = Tensor::from(array);
        assert_eq!((tensor.shape(), tensor.data().as_ptr()), (&[2, 2][..], address));
        let kept = tensor.clone();
        let copy = tensor.into_array();
        assert_ne!(copy.as_ptr(), address);
        let array = kept.into_array();
        assert_eq!((array.as_ptr(), array[[1, 0]]), (address, 3.0));
    }

    #[test]
    fn arrays_of_another_order_become_row_major() {
        let array = array![[1, 2], [3, 4]];
        let transposed = Tensor::from(array.clone().reversed_axes());
        assert_eq!((transposed.shape(), &transposed.data()[..]), (&[2, 2][..], &[1, 3, 2, 4][..]));
        let reversed = Tensor::from(array.slice_move(s![..;-1, ..]));
        assert_eq!(reversed.data()[..], [3, 4, 1, 2]);
        assert_eq!(reversed.to_array(), array![[3, 4], [1, 2]].into_dyn());
    }

    #[test]
    fn a_part_of_an_array_keeps_its_memory() {
        let array = array![[1, 2], [3, 4], [5, 6]];
        let address = &raw const array[[1, 0]];
        let tensor = Tensor::from(array.slice_move(s![1..2, ..]));
        assert_eq!((tensor.shape(), tensor.data().as_ptr()), (&[1, 2][..], address));
        assert_eq!(tensor.data()[..], [3, 4]);
        let empty = Tensor::from(array![[1, 2]].slice_move(s![1.., ..]));
        assert_eq!(empty.shape(), [0, 2]);
        let row = Tensor::from(array![[1, 2], [3, 4]].index_axis_move(Axis(0), 1));
        assert_eq!(row.view_as::<Ix1>().unwrap(), array![3, 4]);
    }

    #[test]
    fn debug_shows_the_shape() {
        let tensor = Tensor::from_shape_vec((1, 2), vec![0.5, 1.5]).unwrap();
        assert_eq!(format!("{tensor:?}"), "Tensor[1, 2] Buf(2) [0.5, 1.5]");
    }
}
