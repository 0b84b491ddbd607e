//! The three products of a convolution on the CPU.
//!
//! A batch is spread over threads image by image; a single image leaves the threads to the matrix
//! product. Which of the two depends on the batch alone, sums run in the order of the batch, and
//! the product splits rows and columns but never a sum, so the bits do not depend on the threads.

use super::unfold::Geometry;
use crate::ops::matmul::{Real, Store, View, dense, matmul};
use candle_core::{CpuStorage, Layout, Result, bail};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::AddAssign;

/// Which of the three products.
#[derive(Debug, Clone, Copy)]
pub(super) enum Product {
    /// `(x, weight) → y`
    Output,
    /// `(weight, ∂y) → ∂x`
    InputGradient,
    /// `(x, ∂y) → ∂weight`
    KernelGradient,
}

/// Runs `product` in the type of its operands.
pub(super) fn dispatch(
    a: (&CpuStorage, &Layout),
    b: (&CpuStorage, &Layout),
    product: Product,
    g: &Geometry,
) -> Result<CpuStorage> {
    match (a.0, b.0) {
        (CpuStorage::F32(_), CpuStorage::F32(_)) => run::<f32>(a, b, product, g),
        (CpuStorage::F64(_), CpuStorage::F64(_)) => run::<f64>(a, b, product, g),
        _ => bail!("convolution: operands must both be f32 or both f64"),
    }
}

fn run<T: Real + AddAssign>(
    a: (&CpuStorage, &Layout),
    b: (&CpuStorage, &Layout),
    product: Product,
    g: &Geometry,
) -> Result<CpuStorage> {
    let (a, b) = (dense::<T>(a)?, dense::<T>(b)?);
    let out = match product {
        Product::Output => output(a, b, g)?,
        Product::InputGradient => input_gradient(a, b, g)?,
        Product::KernelGradient => kernel_gradient(a, b, g)?,
    };
    Ok(T::to_cpu_storage_owned(out))
}

fn parallelism(g: &Geometry) -> Parallelism {
    if g.batch == 1 { Parallelism::Rayon(rayon::current_num_threads()) } else { Parallelism::None }
}

/// The unfolded matrix of one band of rows, or the image itself where they are the same.
fn with_unfolded<T: Real>(
    g: &Geometry,
    image: &[T],
    mut f: impl FnMut(&[T], View, usize) -> Result<()>,
) -> Result<()> {
    let depth = g.depth();
    if g.is_pointwise() {
        return f(image, View::dense(depth, g.pixels()), 0);
    }
    let mut matrix = Vec::new();
    for rows in g.bands() {
        let columns = rows.len() * g.out_width;
        matrix.resize(depth * columns, T::ZERO);
        g.unfold(image, &rows, &mut matrix);
        f(&matrix, View::dense(depth, columns), rows.start * g.out_width)?;
    }
    Ok(())
}

fn output<T: Real>(x: &[T], w: &[T], g: &Geometry) -> Result<Vec<T>> {
    let (o, pixels) = (g.out_channels, g.pixels());
    let mut y = vec![T::ZERO; g.batch * o * pixels];
    if y.is_empty() {
        return Ok(y);
    }
    let images = y.par_chunks_mut(o * pixels).enumerate();
    images.try_for_each(|(b, y)| {
        with_unfolded(g, &x[b * g.image()..(b + 1) * g.image()], |matrix, view, first| {
            let to = View::strided(o, view.cols, pixels);
            let kernel = (w, View::dense(o, g.depth()));
            matmul((&mut y[first..], to), kernel, (matrix, view), Store::Replace, parallelism(g))
        })
    })?;
    Ok(y)
}

fn input_gradient<T: Real + AddAssign>(w: &[T], grad: &[T], g: &Geometry) -> Result<Vec<T>> {
    let (o, pixels, depth) = (g.out_channels, g.pixels(), g.depth());
    let mut dx = vec![T::ZERO; g.batch * g.image()];
    if dx.is_empty() {
        return Ok(dx);
    }
    let kernel = View::dense(o, depth).t();
    dx.par_chunks_mut(g.image()).enumerate().try_for_each(|(b, dx)| {
        let grad = &grad[b * o * pixels..(b + 1) * o * pixels];
        if g.is_pointwise() {
            let (to, from) = (View::dense(depth, pixels), View::dense(o, pixels));
            return matmul((dx, to), (w, kernel), (grad, from), Store::Replace, parallelism(g));
        }
        let mut matrix = Vec::new();
        for rows in g.bands() {
            let columns = rows.len() * g.out_width;
            matrix.resize(depth * columns, T::ZERO);
            let from = (&grad[rows.start * g.out_width..], View::strided(o, columns, pixels));
            let to = (&mut matrix[..], View::dense(depth, columns));
            matmul(to, (w, kernel), from, Store::Replace, parallelism(g))?;
            g.fold(&matrix, &rows, dx);
        }
        Ok(())
    })?;
    Ok(dx)
}

fn kernel_gradient<T: Real + AddAssign>(x: &[T], grad: &[T], g: &Geometry) -> Result<Vec<T>> {
    let (o, pixels, depth) = (g.out_channels, g.pixels(), g.depth());
    let of_image = |b: usize| -> Result<Vec<T>> {
        let mut dw = vec![T::ZERO; o * depth];
        let grad = &grad[b * o * pixels..(b + 1) * o * pixels];
        with_unfolded(g, &x[b * g.image()..(b + 1) * g.image()], |matrix, view, first| {
            let from = (&grad[first..], View::strided(o, view.cols, pixels));
            let to = (&mut dw[..], View::dense(o, depth));
            matmul(to, from, (matrix, view.t()), Store::Add, parallelism(g))
        })?;
        Ok(dw)
    };
    let images: Vec<Vec<T>> = (0..g.batch).into_par_iter().map(of_image).collect::<Result<_>>()?;
    let mut sum = vec![T::ZERO; o * depth];
    for image in images {
        sum.iter_mut().zip(image).for_each(|(s, v)| *s += v);
    }
    Ok(sum)
}
