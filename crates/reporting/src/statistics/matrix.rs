//! Small dense symmetric systems, sufficient for a curve through a few dozen points.

/// A square or rectangular matrix, rows first.
pub(super) type Matrix = Vec<Vec<f64>>;

/// The lower triangle L of `matrix = L L'`; `None` where it is not positive definite.
pub(super) fn cholesky(matrix: &Matrix) -> Option<Matrix> {
    let n = matrix.len();
    let mut lower = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let rest = matrix[i][j] - sum;
            if i != j {
                lower[i][j] = rest / lower[j][j];
            } else if rest > 0.0 && rest.is_finite() {
                lower[i][i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(lower)
}

/// Solves `L x = b`.
pub(super) fn forward(lower: &Matrix, b: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(b.len());
    for (i, value) in b.iter().enumerate() {
        let sum: f64 = x.iter().zip(&lower[i]).map(|(x, l)| x * l).sum();
        x.push((value - sum) / lower[i][i]);
    }
    x
}

/// Solves `L L' x = b`.
pub(super) fn solve(lower: &Matrix, b: &[f64]) -> Vec<f64> {
    let mut x = forward(lower, b);
    for i in (0..x.len()).rev() {
        let sum: f64 = (i + 1..x.len()).map(|k| lower[k][i] * x[k]).sum();
        x[i] = (x[i] - sum) / lower[i][i];
    }
    x
}

/// `ln det(L L')`.
pub(super) fn log_determinant(lower: &Matrix) -> f64 {
    2.0 * (0..lower.len()).map(|i| lower[i][i].ln()).sum::<f64>()
}

/// `sum a b`.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The column of a matrix.
pub(super) fn column(matrix: &Matrix, index: usize) -> Vec<f64> {
    matrix.iter().map(|row| row[index]).collect()
}
