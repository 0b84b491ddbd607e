use super::*;
use crate::ops::gradcheck::random;

fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let all = random(seed, &[len]).to_vec1::<f64>().unwrap();
    all.into_iter().map(|v| v as f32).collect()
}

#[test]
fn agrees_with_a_sum_in_f64() {
    let rows = [0, 1, 5, 8, 9, 31, 33, 300];
    let shapes = [(1, 1), (3, 50), (17, 47), (96, 96), (800, 49), (1600, 3), (0, 5), (4, 0)];
    for (rows, (inputs, outputs)) in rows.iter().flat_map(|r| shapes.map(|s| (*r, s))) {
        let (x, weight) = (numbers(1, rows * inputs), numbers(2, outputs * inputs));
        let (bias, residual) = (numbers(3, outputs), numbers(4, rows * outputs));
        let dense = DenseGemm { x: &x, weight: &weight, rows, inputs, outputs };
        for (bias, residual) in
            [(&[][..], &[][..]), (&bias, &[]), (&[], &residual), (&bias, &residual)]
        {
            let epilogue = TileEpilogue { bias, activation: Activation::Relu, residual };
            let y = dense.run(epilogue).unwrap();
            assert_eq!(y.len(), rows * outputs);
            for (i, y) in y.iter().enumerate() {
                let (row, column) = (i / outputs, i % outputs);
                let term =
                    |k| f64::from(x[row * inputs + k]) * f64::from(weight[column * inputs + k]);
                let sum: f64 = (0..inputs).map(term).sum();
                let sum = sum + f64::from(bias.get(column).copied().unwrap_or(0.0));
                let expected = sum.max(0.0) + f64::from(residual.get(i).copied().unwrap_or(0.0));
                let size = (inputs as f64).sqrt().max(1.0);
                assert!(
                    (f64::from(*y) - expected).abs() / size < 1e-6,
                    "{rows} {inputs} {outputs}"
                );
            }
        }
    }
}

#[test]
fn slices_of_other_sizes_are_refused() {
    let x = numbers(1, 12);
    let dense = DenseGemm { x: &x, weight: &x, rows: 3, inputs: 4, outputs: 3 };
    assert!(dense.run(TileEpilogue::default()).is_ok());
    assert!(DenseGemm { rows: 4, ..dense }.run(TileEpilogue::default()).is_err());
    assert!(dense.run(TileEpilogue { bias: &x, ..TileEpilogue::default() }).is_err());
    assert!(dense.run(TileEpilogue { residual: &x, ..TileEpilogue::default() }).is_err());
}
