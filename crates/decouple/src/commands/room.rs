//! Refuses a command that needs more memory than there is, with the number, before anything is
//! started: a machine that runs out of memory kills programs without a message.

use decouple_experiment::Trial;
use decouple_keys::MOST_CORES;
use decouple_training::{
    memory_limit::{Limit, Needs},
    run_sweep::LoadedData,
    workers::Workers,
};

use super::{estimates::TrainImages, jobs};
use crate::{
    arguments::{Common, Jobs, Resources, Size},
    environment::cores,
    failure::{Failure, USAGE},
    text::{bytes, grouped},
};

/// How much memory trials may use, and what sets the limit.
pub(super) fn limit(max_memory: Option<Size>) -> Option<Limit> {
    let typed = max_memory.map(|size| Limit { bytes: size.0, set_by: "--max-memory" });
    typed.or_else(|| {
        let machine = Limit::of_machine()?;
        Some(Limit { bytes: machine.for_trials(), set_by: machine.set_by })
    })
}

/// The images of `trials`, and how these share what `resources` say: there are `pieces` of work, the trials or sets of
/// them that take turns.
pub(super) fn load(
    trials: &[&Trial],
    pieces: usize,
    resources: &Resources,
    common: &Common,
) -> Result<(LoadedData, Workers), Failure> {
    check(trials, resources, common)?;
    let workers = workers(resources, trials, pieces, common)?;
    let data = LoadedData::read(trials, common.data.as_deref())?;
    let workers = beside_data(workers, &data, trials, common)?;
    Ok((data, workers))
}

/// How `trials`, in `pieces`, share what `resources` say.
fn workers(
    resources: &Resources,
    trials: &[&Trial],
    pieces: usize,
    common: &Common,
) -> Result<Workers, Failure> {
    let jobs = match resources.jobs {
        Some(Jobs::Count(jobs)) => Some(jobs.get()),
        Some(Jobs::Auto) | None => None,
    };
    for (flag, value) in [("--jobs", jobs), ("--threads", resources.threads.map(usize::from))] {
        if let Some(value) = value.filter(|&value| value > MOST_CORES as usize) {
            let (value, most) = (grouped(value as u64), grouped(MOST_CORES));
            refuse!(USAGE, "{flag} {value} is too many: expected at most {most}, on {} cores", cores());
        }
    }
    let cores = resources.threads.map_or_else(cores, usize::from);
    let memory = limit(resources.max_memory).map(|limit| limit.bytes);
    let longest =
        trials.iter().max_by_key(|trial| trial.cost.macs.saturating_mul(trial.record.training.epochs as u64));
    match longest {
        Some(&longest) if resources.jobs == Some(Jobs::Auto) => {
            let need = needs(&[longest], &mut TrainImages::default(), common)[0];
            jobs::auto(common, cores, pieces, longest, need, memory)
        }
        _ => Ok(Workers { memory, ..Workers::share(cores, pieces, jobs) }),
    }
}

/// What each of `trials` needs with one thread, the least.
pub(super) fn needs(trials: &[&Trial], images: &mut TrainImages, common: &Common) -> Vec<u64> {
    let mut needs = Needs::new(1);
    trials.iter().map(|trial| needs.of(trial, images.of(trial, common))).collect()
}

/// Trials that need more memory than `limit`, the largest first, with what they need.
pub(super) fn too_large<'a>(
    trials: &[&'a Trial],
    needs: &[u64],
    limit: Option<Limit>,
) -> Vec<(&'a Trial, u64)> {
    let most = limit.map_or(u64::MAX, |limit| limit.bytes);
    let with_needs = trials.iter().copied().zip(needs.iter().copied());
    let mut too_large: Vec<_> = with_needs.filter(|(_, need)| *need > most).collect();
    too_large.sort_by_key(|(_, need)| std::cmp::Reverse(*need));
    too_large
}

/// Refuses trials that can never fit.
fn check(trials: &[&Trial], resources: &Resources, common: &Common) -> Result<(), Failure> {
    let limit = limit(resources.max_memory);
    let needs = needs(trials, &mut TrainImages::default(), common);
    let too_large = too_large(trials, &needs, limit);
    let (Some(limit), Some((trial, need))) = (limit, too_large.first()) else { return Ok(()) };
    let others = match too_large.len() - 1 {
        0 => String::new(),
        1 => ", and one other too much".to_owned(),
        others => format!(", and {} others too much", grouped(others as u64)),
    };
    let message = format!(
        "trial {} ({}) needs about {} of memory{others}; {} leaves {}\n   = take a smaller \
         `training.batch` or `network.width`, leave it out with --filter, or train it on a larger machine",
        trial.id.short(),
        trial.label(),
        bytes(*need),
        limit.set_by,
        bytes(limit.bytes),
    );
    Err(Failure::new(USAGE, message))
}

/// Refuses tries of `[tune]` that can never fit: with `halving` all `settings` of a point are in memory at once.
pub(super) fn check_halving(
    tries: &[&Trial],
    settings: usize,
    workers: &Workers,
    common: &Common,
) -> Result<(), Failure> {
    let Some(memory) = workers.memory else { return Ok(()) };
    let needs = needs(tries, &mut TrainImages::default(), common);
    let most = needs.chunks(settings.max(1)).map(|point| point.iter().sum::<u64>()).max().unwrap_or(0);
    if most > memory {
        refuse!(
            USAGE,
            "with `tune.halving` all {settings} tries of a point are in memory at once, about {}; {} are left for \
             them\n   = leave out `halving`, take fewer tries or a smaller `training.batch`, or a larger machine",
            bytes(most),
            bytes(memory),
        );
    }
    Ok(())
}

/// `workers` with what the images leave of the memory, if that is enough for each of `trials`.
fn beside_data(
    workers: Workers,
    data: &LoadedData,
    trials: &[&Trial],
    common: &Common,
) -> Result<Workers, Failure> {
    let Some(memory) = workers.memory else { return Ok(workers) };
    let left = memory.saturating_sub(data.bytes());
    let largest = needs(trials, &mut TrainImages::default(), common).into_iter().max().unwrap_or(0);
    if largest > left {
        refuse!(
            USAGE,
            "the images take {} of memory and a trial {}: together more than {}\n   = take fewer or smaller images, \
             a smaller `training.batch`, or a larger machine",
            bytes(data.bytes()),
            bytes(largest),
            bytes(memory),
        );
    }
    Ok(Workers { memory: Some(left), ..workers })
}
