//! The files that a sweep writes before anything runs.

use super::Sweep;
use crate::{Ledger, LedgerError, ledger::replace};

impl Sweep {
    /// Writes `experiment.toml`, the file as it was read, and `plan.csv`, one row per trial,
    /// into the ledger's folder.
    ///
    /// # Errors
    /// [`LedgerError`] when a file cannot be written.
    pub fn write_plan(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let root = ledger.root();
        ledger.disk().create_dir_all(root).map_err(LedgerError::io("create", root))?;
        replace(ledger.disk(), &root.join("experiment.toml"), self.text.as_bytes())?;
        replace(ledger.disk(), &root.join("plan.csv"), &self.plan_csv())
    }

    /// The plan as CSV.
    fn plan_csv(&self) -> Vec<u8> {
        let point = self.trials.first().map(|trial| &trial.point[..]).unwrap_or_default();
        let axes = point.iter().map(|(axis, _)| axis.as_str());
        let costs = ["seed", "level", "width", "parameters", "macs", "activations"];
        let head = ["id"].into_iter().chain(axes).chain(costs);
        let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).collect()];
        for trial in &self.trials {
            let mut row = vec![trial.id.to_string()];
            row.extend(trial.point.iter().map(|(_, value)| value.clone()));
            row.extend([
                trial.seed().to_string(),
                trial.level.to_string(),
                trial.width().to_string(),
                trial.cost.parameters.to_string(),
                trial.cost.macs.to_string(),
                trial.cost.activations.to_string(),
            ]);
            rows.push(row);
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            // Writing equal rows to memory cannot fail.
            let _ = writer.write_record(row.into_iter().map(inert_cell));
        }
        writer.into_inner().unwrap_or_default()
    }
}

/// A CSV cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe.
pub fn inert_cell(text: String) -> String {
    let begins_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if begins_formula && text.parse::<f64>().is_err() { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::inert_cell;

    #[test]
    fn formulas_are_words_and_numbers_stay() {
        for formula in ["=1+1", "+cmd|' /C calc'!A0", "-x", "@SUM(A1)", "\t=1"] {
            assert_eq!(inert_cell(formula.to_owned()), format!("'{formula}"));
        }
        for plain in ["-0.5", "+1e-3", "per-channel", "", "a=b", "-inf"] {
            assert_eq!(inert_cell(plain.to_owned()), plain);
        }
    }
}
