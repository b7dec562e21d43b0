//! What a sweep writes down before anything runs.

use std::fs;

use super::Sweep;
use crate::{Ledger, LedgerError, ledger::replace};

impl Sweep {
    /// Writes `experiment.toml`, the file as it was read, and `plan.csv`, a row
    /// a trial, into the ledger's folder.
    ///
    /// # Errors
    /// [`LedgerError`] when a file cannot be written.
    pub fn write_plan(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let root = ledger.root();
        fs::create_dir_all(root).map_err(LedgerError::io("create", root))?;
        replace(&root.join("experiment.toml"), self.text.as_bytes())?;
        replace(&root.join("plan.csv"), &self.plan_csv())
    }

    /// The plan as CSV.
    fn plan_csv(&self) -> Vec<u8> {
        let axes = self
            .trials
            .first()
            .into_iter()
            .flat_map(|trial| trial.point.iter().map(|(axis, _)| axis.as_str()));
        let mut rows: Vec<Vec<String>> = vec![
            ["id"]
                .into_iter()
                .chain(axes)
                .chain(["seed", "level", "width", "parameters", "macs", "activations"])
                .map(str::to_owned)
                .collect(),
        ];
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
            let _ = writer.write_record(row);
        }
        writer.into_inner().unwrap_or_default()
    }
}
