use decouple_experiment::{LauncherTable, Overrides, Sweep, parse};
use proptest::prelude::*;

use super::*;

fn sweep() -> Sweep {
    parse("[axes]\nsegments = [1, 2, 4]\nseed = [0, 1, 2, 3]\n", "packed.toml", &Overrides::default())
        .unwrap()
}

fn job(kind: LauncherKind, table: LauncherTable) -> Job {
    let words = ["/opt/my tools/decouple", "run", "exp.toml", "--set", "x='a'", "--task"];
    Job {
        name: "mine".to_owned(),
        folder: "/results/mine/submissions/1".into(),
        working_dir: "/home/a b".into(),
        command: words.map(str::to_owned).into(),
        tasks: 4,
        secs: 5_401,
        bytes: Some((3 << 30) + 1),
        spec: LauncherTable { kind: Some(kind), ..table }.resolve().unwrap(),
    }
}

#[test]
fn slurm_gets_one_array_whose_tasks_go_back_on_75() {
    let lines = ["#SBATCH --constraint=avx512", "module load gcc"].map(str::to_owned).to_vec();
    let table = LauncherTable {
        partition: Some("cpu".to_owned()),
        at_once: Some(2),
        requeues: Some(5),
        lines: Some(lines),
        ..LauncherTable::default()
    };
    let script = slurm::Slurm.script(&job(LauncherKind::Slurm, table));
    for line in [
        "#SBATCH --array=0-3%2",
        "#SBATCH --requeue",
        "#SBATCH --signal=TERM@120",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=/results/mine/submissions/1/task-%a.log",
        "#SBATCH --chdir='/home/a b'",
        "#SBATCH --mem=3073M",
        "#SBATCH --time=91",
        "#SBATCH --partition=cpu",
        "#SBATCH --constraint=avx512",
        "module load gcc",
        r#"srun --ntasks=1 --cpus-per-task=1 '/opt/my tools/decouple' run exp.toml --set 'x='\''a'\''' --task "$SLURM_ARRAY_TASK_ID""#,
        r#"if [ "$code" -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 5 ]; then"#,
    ] {
        assert!(script.lines().any(|own| own == line), "no line {line}\nin\n{script}");
    }
    let place = |text: &str| script.find(text).unwrap();
    assert!(place("--constraint") < place("module load"), "options stand before the first command");
}

/// Runs a script of the local launcher whose command is a small shell program, and
/// returns its exit code and the lines that the tasks wrote.
#[cfg(unix)]
fn run_local(program: &str, table: LauncherTable) -> (i32, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let command = ["bash", "-c", program, "task"].map(str::to_owned).to_vec();
    let own = folder.path().to_owned();
    let job =
        Job { folder: own.clone(), working_dir: own.clone(), command, ..job(LauncherKind::Local, table) };
    let script = own.join("job.sh");
    write(&script, &local::Local.script(&job)).unwrap();
    let status = Command::new("bash").arg(&script).status().unwrap();
    let text = fs::read_to_string(own.join("said")).unwrap_or_default();
    let mut said: Vec<String> = text.lines().map(str::to_owned).collect();
    said.sort();
    (status.code().unwrap(), said)
}

#[cfg(unix)]
#[test]
fn local_processes_run_every_task_and_again_on_75() {
    // A task stops after a checkpoint the first two times.
    let program = r#"echo "$1" >> said; [ "$(grep -c "^$1$" said)" -gt 2 ] || exit 75"#;
    let table = LauncherTable { at_once: Some(2), ..LauncherTable::default() };
    let (code, said) = run_local(program, table);
    assert_eq!((code, said.join("")), (0, "000111222333".to_owned()));

    let table = LauncherTable { requeues: Some(1), ..LauncherTable::default() };
    let (code, said) = run_local("echo $1 >> said; exit 75", table);
    assert_eq!((code, said.join("")), (75, "00112233".to_owned()), "twice, and no more");

    let (code, said) = run_local("echo $1 >> said; [ $1 != 2 ]", LauncherTable::default());
    assert_eq!((code, said.join("")), (1, "0123".to_owned()), "one that fails stops no other");
}

#[test]
fn words_survive_a_shell() {
    for word in ["", "plain", "two words", "it's", "$HOME", "a\"b", "`id`", "*"] {
        let echoed =
            Command::new("sh").arg("-c").arg(format!("printf %s {}", shell_word(word))).output().unwrap();
        assert_eq!(String::from_utf8(echoed.stdout).unwrap(), word);
    }
}

proptest! {
    #[test]
    fn packing_loses_nothing_and_is_even(
        secs in prop::collection::vec(0.1f64..5_000.0, 1..12),
        cpus in 1usize..4,
        task_secs in 1u64..10_000,
        most in 1usize..8,
    ) {
        let sweep = sweep();
        let pieces: Vec<Piece<'_>> = sweep.trials.iter().zip(&secs)
            .map(|(trial, &secs)| Piece { trial, secs, bytes: 1 + secs as u64 })
            .collect();
        let tasks = pack(pieces.clone(), cpus, task_secs, most);
        prop_assert!(tasks.len() <= most && tasks.iter().all(|task| !task.pieces.is_empty()));
        let mut packed: Vec<RunId> = tasks.iter().flat_map(|task| &task.pieces).map(|p| p.trial.id).collect();
        let mut all: Vec<RunId> = pieces.iter().map(|piece| piece.trial.id).collect();
        packed.sort_unstable();
        all.sort_unstable();
        prop_assert_eq!(packed, all);
        // No task has more work than another by more than the longest trial.
        let loads: Vec<f64> = tasks.iter().map(Task::work_secs).collect();
        let (least, largest) = loads.iter().fold((f64::MAX, 0f64), |(a, b), &load| (a.min(load), b.max(load)));
        let longest = secs.iter().copied().fold(0.0, f64::max);
        prop_assert!(largest - least <= longest + 0.1);
        for task in &tasks {
            prop_assert!(task.secs(cpus) >= task.pieces[0].secs);
            prop_assert!(task.bytes(cpus) <= task.pieces.iter().map(|piece| piece.bytes).sum());
        }
    }
}
