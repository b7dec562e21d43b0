//! Every key of an experiment file, for messages and for `docs/experiments.md`.

/// A key of an experiment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name. Keys of `[trial.*]` stand without `trial.`, as an axis names them.
    pub path: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What it may hold.
    pub values: &'static str,
    /// Unit of a number, or nothing.
    pub unit: &'static str,
    /// What leaving it out means, in TOML.
    pub default: &'static str,
}

impl Key {
    /// Its row in `docs/experiments.md`.
    pub fn row(&self) -> String {
        let Self { path, meaning, values, unit, default } = self;
        let quoted = |text: &str| {
            if text.is_empty() { String::new() } else { format!("`{text}`") }
        };
        format!("| `{path}` | {meaning} | {values} | {unit} | {} |", quoted(default))
    }
}

/// What people from elsewhere call some keys.
const OTHER_NAMES: [(&str, &str); 16] = [
    ("lr", "training.schedule.peak"),
    ("learning-rate", "training.schedule.peak"),
    ("learning_rate", "training.schedule.peak"),
    ("training.learning-rate", "training.schedule.peak"),
    ("training.lr", "training.schedule.peak"),
    ("wd", "training.weight-decay"),
    ("l2", "training.weight-decay"),
    ("batch-size", "training.batch"),
    ("batch_size", "training.batch"),
    ("ema", "training.average"),
    ("groups", "segments"),
    ("cardinality", "segments"),
    ("activation", "intermediate"),
    ("kernel-size", "kernel"),
    ("dataset", "data.set"),
    ("seeds", "seed"),
];

/// The name here of what somebody calls `typed`: as axes carry it.
pub(crate) fn other_name(typed: &str) -> Option<&'static str> {
    OTHER_NAMES.iter().find(|(other, _)| *other == typed).map(|(_, name)| *name)
}

/// What the table at `path` may look like, where there is one: its default, and the
/// words for its kinds.
pub(crate) fn table_example(path: &str) -> Option<String> {
    let of = |path: &str| KEYS.iter().find(|key| key.path == path);
    let (table, kinds) = (of(path)?, of(&format!("{path}.kind"))?);
    let name = path.rsplit('.').next().unwrap_or(path);
    Some(format!("write {name} = {}; a kind is one of {}", table.default, kinds.values.replace('`', "")))
}

/// Names under which an axis and `--set` know some keys of `[trial.network]`.
pub(crate) const SHORT_NAMES: [&str; 8] =
    ["segments", "channels-per-segment", "module", "intermediate", "order", "residual", "kernel", "norm"];

/// The name of a key of `[trial.*]` as axes carry it: short where it has a short
/// form. `None` if there is no such key.
pub(crate) fn axis_name(typed: &str) -> Option<&str> {
    let short = typed.strip_prefix("network.").unwrap_or(typed);
    if SHORT_NAMES.contains(&short) {
        return Some(short);
    }
    axis_names().find(|name| *name == typed)
}

/// The full name of an axis: `network.segments` for `segments`.
pub(crate) fn full_name(axis: &str) -> String {
    if SHORT_NAMES.contains(&axis) { format!("network.{axis}") } else { axis.to_owned() }
}

/// Every name that an axis may have, the short ones first, without the seed.
pub(crate) fn axis_names() -> impl Iterator<Item = &'static str> {
    let of_trial =
        |path: &&str| ["network.", "data.", "training."].iter().any(|section| path.starts_with(section));
    SHORT_NAMES.into_iter().chain(KEYS.iter().map(|key| key.path).filter(of_trial))
}

const fn key(
    path: &'static str,
    meaning: &'static str,
    values: &'static str,
    unit: &'static str,
    default: &'static str,
) -> Key {
    Key { path, meaning, values, unit, default }
}

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key(
        "experiment.name",
        "Name of the experiment and of its folder under `results`.",
        "letters, digits and `.` `_` `-`, beginning with a letter or digit",
        "",
        "",
    ),
    key("experiment.question", "What the experiment asks: the title of its figures.", "a string", "", ""),
    key(
        "experiment.reference",
        "The point that budgets and differences refer to: axis names and one value of each.",
        "a table such as `{ segments = \"per-channel\" }`",
        "",
        "{}",
    ),
    key(
        "experiment.budget",
        "The quantity held equal along the sweep, by fitting `network.width` at every point.",
        "`\"parameters\"`, `\"macs\"`, `\"activations\"`, `\"step-time\"` (of a training step, measured on this machine), `\"none\"`, or `{ hold = ..., at = \"reference\" }`",
        "",
        "\"parameters\"",
    ),
    key("experiment.budget.hold", "The quantity held equal.", "as `experiment.budget`", "", "\"parameters\""),
    key(
        "experiment.budget.at",
        "Whose cost, at its own width, all points meet.",
        "`\"reference\"`",
        "",
        "\"reference\"",
    ),
    key(
        "experiment.budget.pays",
        "Which channel counts the budget may change: all, or those inside modules while stem and residual stream stay (mini-xception).",
        "`\"all\"`, `\"inner\"`",
        "",
        "\"all\"",
    ),
    key(
        "experiment.budget.least-channels",
        "The fewest channels that the budget may leave a layer.",
        "a whole number from 1",
        "channels",
        "1",
    ),
    key(
        "experiment.hypotheses",
        "What is expected: laid down by `decouple plan --lock`.",
        "a list of sentences",
        "",
        "[]",
    ),
    key(
        "experiment.margin",
        "The difference within which points count as equal: laid down by `decouple plan --lock`, tested in the report.",
        "a number above 0",
        "points",
        "",
    ),
    key(
        "experiment.analysis",
        "How the runs are to be analysed: laid down by `decouple plan --lock`.",
        "a string",
        "",
        "\"\"",
    ),
    key(
        "axes",
        "What is varied: a list of values for each key, every combination of which is trained.",
        "a table of lists",
        "",
        "{}",
    ),
    key(
        "axes.seed",
        "Seeds of the runs of every point.",
        "a list of different whole numbers from 0",
        "",
        "[0, 1, 2]",
    ),
    key(
        "zip",
        "What is varied together: lists of equal length, walked side by side. Several `[[zip]]` tables are crossed with each other and with `[axes]`.",
        "tables of lists",
        "",
        "[]",
    ),
    key(
        "tune.learning-rate",
        "Learning rates that every point tries on validation images, before its seeds are run with the best: a list, or a range that `tries` are spread over.",
        "a list of numbers above 0, or `{ from = ..., to = ... }`",
        "",
        "",
    ),
    key(
        "tune.weight-decay",
        "Weight decays that are tried with each of them; without a list the trial's own.",
        "a list of numbers from 0, or `{ from = ..., to = ... }`",
        "",
        "",
    ),
    key(
        "tune.tries",
        "How many of the combinations are tried, drawn once for all points; without it all. Of ranges, how many points of Sobol's sequence.",
        "a whole number from 1",
        "",
        "",
    ),
    key(
        "tune.finalists",
        "How many of a point's best tries are run with more seeds before one is chosen.",
        "a whole number from 1",
        "",
        "1",
    ),
    key("tune.seeds", "Seeds that a finalist is run with in all.", "a whole number from 1", "", "1"),
    key(
        "tune.halving",
        "Whether the worse half of a point's tries is stopped after seven eighths of the epochs. Earlier, accuracies say little of how they end.",
        "`true`, `false`",
        "",
        "false",
    ),
    key("tune.seed", "Seed of all tries.", "a whole number from 0", "", "1000"),
    key(
        "launcher.kind",
        "Who starts the tasks of `decouple submit`: processes on this machine, or Slurm.",
        "`\"slurm\"`, `\"local\"`",
        "",
        "\"slurm\"",
    ),
    key("launcher.partition", "Queue of the scheduler.", "a name", "", ""),
    key("launcher.account", "Whom the time is booked on.", "a name", "", ""),
    key(
        "launcher.time",
        "Wall time of a task at most; without it by the plan's estimates.",
        "a string such as `\"90min\"`, `\"2h\"` or `\"1-12:00:00\"`",
        "",
        "",
    ),
    key(
        "launcher.memory",
        "Memory of a task; without it by the plan's estimates.",
        "a string such as `\"500M\"` or `\"8G\"`",
        "",
        "",
    ),
    key(
        "launcher.cpus",
        "Cores of a task, which trains as many trials at a time.",
        "a whole number from 1",
        "",
        "1",
    ),
    key(
        "launcher.at-once",
        "Tasks at a time at most; without it all that the queue has room for, on this machine one a core.",
        "a whole number from 1",
        "",
        "",
    ),
    key(
        "launcher.task-time",
        "Estimated wall time of a task: small trials are packed into one until it takes this long.",
        "a string such as `\"30min\"` or `\"1h\"`",
        "",
        "\"1h\"",
    ),
    key(
        "launcher.requeues",
        "How often a task that was stopped after a checkpoint (exit code 75) is put back into the queue.",
        "a whole number from 0",
        "",
        "20",
    ),
    key(
        "launcher.lines",
        "Lines of the job's script: those that begin with `#SBATCH` among its options, others before the trials.",
        "a list of strings such as `[\"#SBATCH --constraint=avx512\", \"module load slurm\"]`",
        "",
        "[]",
    ),
    key(
        "network.family",
        "The architecture. Each reads some of the keys below and has its own defaults; those given here are mini-xception's. A key that a family does not read is refused.",
        "`\"mini-xception\"`, `\"xception\"`, `\"inception-v3\"`, `\"simple-inception\"` (Inception V3's frame with the modules of the paper's figure 3), `\"vgg-16\"`, `\"resnet-18\"`, `\"resnet-50\"`, `\"resnet-152\"`, `\"resnext-50\"`",
        "",
        "\"mini-xception\"",
    ),
    key(
        "network.numerics",
        "Whose implementation a published network follows: the epsilon of batch norms, padding, biases.",
        "`\"keras\"`, `\"timm\"`",
        "",
        "\"keras\"",
    ),
    key(
        "network.segments",
        "Independent segments of the spatial convolutions, in all stages or one value a stage. More than a layer has channels means per-channel there.",
        "a whole number from 1, `\"per-channel\"`, `{ channels-per-segment = N }`, `{ level = L }` with L from 0 to 1, or a list of these",
        "",
        "\"per-channel\"",
    ),
    key(
        "network.channels-per-segment",
        "The same by the width of a group, which means the same in every layer; in place of `segments`.",
        "a whole number from 1, `\"all\"` (one segment), or a list of these",
        "channels",
        "",
    ),
    key(
        "network.module",
        "What modules are made of: a 1x1 and a spatial convolution, or one spatial convolution over segments alone (mini-xception, xception).",
        "`\"spectrum\"`, `\"plain\"`",
        "",
        "\"spectrum\"",
    ),
    key(
        "network.order",
        "Which of a module's two convolutions comes first.",
        "`\"pointwise-first\"` (Inception), `\"spatial-first\"` (separable convolution)",
        "",
        "\"pointwise-first\"",
    ),
    key(
        "network.intermediate",
        "The activation between the two convolutions.",
        "`\"none\"`, `\"relu\"`, `\"elu\"`",
        "",
        "\"none\"",
    ),
    key(
        "network.norm",
        "Where batch norm stands: once a module, after its second convolution, or after both.",
        "`\"module\"`, `\"both\"`",
        "",
        "\"module\"",
    ),
    key(
        "network.norm-epsilon",
        "Added to the variance by every batch norm.",
        "a number above 0, at most 1",
        "",
        "0.001",
    ),
    key(
        "network.norm-momentum",
        "Share of the new batch in the running mean and variance of every batch norm.",
        "a number above 0, at most 1",
        "",
        "0.1",
    ),
    key("network.residual", "Whether flows have linear residual connections.", "`true`, `false`", "", "true"),
    key(
        "network.dense",
        "What the modules of a middle block see besides the one before: the block's input, or that and the outputs of all earlier modules (mini-xception, xception).",
        "`\"none\"`, `\"first\"`, `\"all\"`",
        "",
        "\"none\"",
    ),
    key("network.kernel", "Rows and columns of the spatial kernels.", "3, 5, 7", "pixels", "3"),
    key("network.stem", "Width of the stem convolution.", "a whole number from 1", "channels", "16"),
    key(
        "network.stem-kernel",
        "Rows and columns of the stem's kernel; 1 leaves all spatial structure to the modules (mini-xception).",
        "1, 3",
        "pixels",
        "3",
    ),
    key(
        "network.entry",
        "Width of each entry stage; a stage halves the map.",
        "a list of whole numbers from 1",
        "channels",
        "[16, 32, 64]",
    ),
    key(
        "network.middle",
        "Blocks of the middle flow, as wide as the last entry stage.",
        "a whole number from 0",
        "blocks",
        "2",
    ),
    key("network.modules", "Modules in a middle block.", "a whole number from 1", "modules", "3"),
    key("network.exit", "Width of the exit flow.", "a whole number from 1", "channels", "128"),
    key(
        "network.inner",
        "Widths between the two convolutions of the modules: of each entry stage, the middle flow and the exit flow, in place of the modules' own (mini-xception).",
        "a list of whole numbers from 1, one a stage",
        "channels",
        "[]",
    ),
    key(
        "network.size",
        "How much of what the budget holds this point has, in place of as much as the reference.",
        "a whole number from 1",
        "",
        "",
    ),
    key(
        "network.allocation",
        "Seed of another allocation of width and depth, drawn at random; a budget then finds the width of the whole (mini-xception).",
        "a whole number from 0, or `\"own\"`",
        "",
        "\"own\"",
    ),
    key(
        "network.small-stem",
        "Whether the stem of a published network keeps the size of the map, for images of about 32 pixels.",
        "`true`, `false`",
        "",
        "false",
    ),
    key(
        "network.channels",
        "Channel counts of a published network, from input to output, in place of its own.",
        "a list of whole numbers from 1, as many as the network's own",
        "channels",
        "",
    ),
    key(
        "network.fully-connected",
        "Outputs of dense layers before the logits (xception, inception-v3, simple-inception).",
        "a list of whole numbers from 1",
        "",
        "[]",
    ),
    key(
        "network.width",
        "Multiplies all channel counts. Under a budget it sizes the reference; the widths of the other points are found.",
        "a number above 0",
        "",
        "1.0",
    ),
    key(
        "network.dropout",
        "Share of the values before the logits that training zeroes.",
        "a number from 0 to 0.99",
        "",
        "0.0",
    ),
    key(
        "data.set",
        "The images.",
        "`\"fashion-mnist\"`, `\"cifar-10\"`, `\"cifar-100\"` (their binary files), `\"image-folder\"` (JPEG, PNG and WebP files, a folder a class), `\"shards\"` (tar files of samples), `\"planted\"` (generated)",
        "",
        "\"fashion-mnist\"",
    ),
    key(
        "data.subset",
        "How much of the set: the part that the program carries, or all of it, from a folder (fashion-mnist).",
        "`\"embedded\"`, `\"full\"`",
        "",
        "\"embedded\"",
    ),
    key(
        "data.folder",
        "The folder that holds `train` and one of `test`, `val`, `valid` and `validation`, or the classes themselves; relative to that of the data sets (image-folder, shards).",
        "a path",
        "",
        "\"\"",
    ),
    key(
        "data.classes",
        "Number of classes; always stated (image-folder, shards).",
        "a whole number from 2",
        "",
        "",
    ),
    key(
        "data.size",
        "Rows and columns that images are scaled and cut to; always stated (image-folder, shards).",
        "a list of two whole numbers from 1 to 1024",
        "pixels",
        "",
    ),
    key("data.channels", "Grey or colour (image-folder, shards).", "1, 3", "channels", "3"),
    key(
        "data.test-share",
        "Share of each class that is for testing, where no folder says which images are (image-folder).",
        "a number between 0 and 1",
        "",
        "0.2",
    ),
    key(
        "data.corrupt",
        "What to do about a file that is no sound image: stop, or leave it out and list it (image-folder, shards).",
        "`\"refuse\"`, `\"skip\"`",
        "",
        "\"refuse\"",
    ),
    key(
        "data.class-list",
        "A file in the folder with the names of the classes, one a line in the order of their labels; without it the natural order of the folders counts (image-folder, shards).",
        "a path",
        "",
        "",
    ),
    key(
        "data.orientation",
        "Whether photographs are turned as the camera noted (EXIF) (image-folder, shards).",
        "`true`, `false`",
        "",
        "true",
    ),
    key(
        "data.most-pixels",
        "Most pixels of an image that is read; a file may have two bytes for each (image-folder, shards).",
        "a whole number from 1 to 68719476736",
        "pixels",
        "134217728",
    ),
    key(
        "data.fit",
        "How an image of another ratio is brought to `size`: scaled until it covers it and cut evenly, as timm does, or each side on its own, as Keras does (image-folder, shards).",
        "`\"cover\"`, `\"stretch\"`",
        "",
        "\"cover\"",
    ),
    key(
        "data.crop-fraction",
        "Share of the scaled image that `size` is of, cut out of its middle (image-folder, shards).",
        "a number from 0.01 to 1",
        "",
        "1.0",
    ),
    key(
        "data.filter",
        "How pixels are weighed together where an image is scaled (image-folder, shards).",
        "`\"nearest\"`, `\"bilinear\"`, `\"bicubic\"`",
        "",
        "\"bilinear\"",
    ),
    key(
        "data.reduced",
        "Whether JPEG files are decoded at a half, a quarter or an eighth of their size where that leaves two pixels a side for each of the result: faster, and not the same bytes (image-folder, shards).",
        "`true`, `false`",
        "",
        "false",
    ),
    key(
        "data.stream",
        "Whether images are decoded anew in every epoch, from photographs of any number and size; else they are brought to `size` once and kept in memory (image-folder; of shards only `true`).",
        "`true`, `false`",
        "",
        "false",
    ),
    key(
        "data.multi-label",
        "Whether an image may have any number of labels; else it has one (shards).",
        "`true`, `false`",
        "",
        "false",
    ),
    key(
        "data.coupling",
        "Where the class is planted: from 0, within single channels, to 1, across channels and space together (planted).",
        "a number from 0 to 1",
        "",
        "0.5",
    ),
    key(
        "data.images",
        "Training images; a quarter as many again are for testing (planted). Or the images of an epoch: without the key all, and the default is of no concern (shards).",
        "a whole number from 1",
        "images",
        "8000",
    ),
    key(
        "data.noise",
        "Standard deviation of the noise, as a share of what is planted (planted).",
        "a number from 0 to 1",
        "",
        "0.1",
    ),
    key(
        "data.seed",
        "What the images are made from; other seeds, other images of the same figures (planted).",
        "a whole number from 0",
        "",
        "0",
    ),
    key(
        "data.validation",
        "Training images held out for validation, spread evenly over the classes.",
        "a whole number from 0",
        "images",
        "0",
    ),
    key(
        "data.split",
        "Which images are held out: always the last of each class, some drawn by this number, or some drawn by the seed of each run.",
        "`\"fixed\"`, `\"seed\"`, a whole number from 0",
        "",
        "\"fixed\"",
    ),
    key(
        "data.augment",
        "What is done at random to each training image, in this order.",
        "a list of `\"random-resized-crop LEAST MOST\"` (first), `\"pad-crop PIXELS\"`, `\"flip\"`, `\"jitter BRIGHTNESS CONTRAST SATURATION HUE\"`, `\"cutout PIXELS\"`, `\"rand-augment OPERATIONS MAGNITUDE\"`, `\"mixup ALPHA\"` and `\"cutmix ALPHA\"` (last)",
        "",
        "[]",
    ),
    key("training.epochs", "Passes over the training images.", "a whole number from 1", "epochs", "10"),
    key("training.batch", "Images a step.", "a whole number from 1", "images", "64"),
    key(
        "training.optimizer",
        "How gradients become changes of the weights: a kind and its keys.",
        "a table",
        "",
        "{ kind = \"sgd\", momentum = 0.9, nesterov = true }",
    ),
    key("training.optimizer.kind", "The rule.", "`\"sgd\"`, `\"rmsprop\"`, `\"adamw\"`", "", "\"sgd\""),
    key(
        "training.optimizer.momentum",
        "Share of the last step's direction that is kept (sgd, rmsprop).",
        "a number from 0 up to 1",
        "",
        "0.9",
    ),
    key(
        "training.optimizer.nesterov",
        "Whether the gradient is taken as if the momentum step were already done (sgd).",
        "`true`, `false`",
        "",
        "true",
    ),
    key(
        "training.optimizer.form",
        "Which of the two published forms, which differ whenever the rate changes (rmsprop).",
        "`\"tensorflow\"`, `\"pytorch\"`",
        "",
        "\"tensorflow\"",
    ),
    key(
        "training.optimizer.decay",
        "Share of the old mean square that is kept (rmsprop).",
        "a number from 0 up to 1",
        "",
        "0.9",
    ),
    key(
        "training.optimizer.beta1",
        "Share of the old mean gradient that is kept (adamw).",
        "a number from 0 up to 1",
        "",
        "0.9",
    ),
    key(
        "training.optimizer.beta2",
        "Share of the old mean square that is kept (adamw).",
        "a number from 0 up to 1",
        "",
        "0.999",
    ),
    key(
        "training.optimizer.epsilon",
        "Added to the mean square (rmsprop, form tensorflow) or to its root (form pytorch, adamw). The default is rmsprop's; adamw's is 1e-8.",
        "a number above 0",
        "",
        "1.0",
    ),
    key(
        "training.schedule",
        "The learning rate over the training: a kind and its keys.",
        "a table",
        "",
        "{ kind = \"cosine\", peak = 0.1, warmup-epochs = 1.0, floor = 0.0 }",
    ),
    key(
        "training.schedule.kind",
        "The shape of the fall.",
        "`\"constant\"`, `\"step\"`, `\"exponential\"`, `\"cosine\"`",
        "",
        "\"cosine\"",
    ),
    key("training.schedule.peak", "The learning rate after warm-up.", "a number above 0", "", "0.1"),
    key(
        "training.schedule.warmup-epochs",
        "Length of the linear rise at the start.",
        "a number from 0",
        "epochs",
        "1.0",
    ),
    key(
        "training.schedule.floor",
        "The learning rate at the end of training (cosine).",
        "a number from 0",
        "",
        "0.0",
    ),
    key(
        "training.schedule.factor",
        "What the rate is multiplied by over each distance (step, exponential).",
        "a number above 0",
        "",
        "0.94",
    ),
    key(
        "training.schedule.every-epochs",
        "The distance between two multiplications, counted from the start of training (step, exponential).",
        "a number above 0",
        "epochs",
        "2.0",
    ),
    key(
        "training.schedule.every-samples",
        "The same distance in images seen, instead of `every-epochs` (exponential).",
        "a whole number from 1",
        "images",
        "",
    ),
    key(
        "training.schedule.staircase",
        "Whether the rate falls in steps instead of smoothly (exponential).",
        "`true`, `false`",
        "",
        "true",
    ),
    key(
        "training.weight-decay",
        "Strength of the pull of the weights towards zero.",
        "a number from 0",
        "",
        "0.0001",
    ),
    key(
        "training.weight-decay-kind",
        "Whether the pull is added to the gradient (L2 penalty) or applied to the weights directly, times the learning rate. The default of adamw is decoupled.",
        "`\"coupled\"`, `\"decoupled\"`",
        "",
        "\"coupled\"",
    ),
    key(
        "training.weight-decay-on",
        "What is pulled: weights of convolutions and dense layers, or batch norm and biases too.",
        "`\"weights\"`, `\"all\"`",
        "",
        "\"weights\"",
    ),
    key(
        "training.label-smoothing",
        "Probability mass spread evenly over all classes.",
        "a number from 0 up to 1",
        "",
        "0.0",
    ),
    key(
        "training.average",
        "A second set of weights, averaged over the steps and evaluated beside the raw ones.",
        "`\"none\"`, `\"polyak\"`, or `{ kind = \"polyak\", decay = ... }`",
        "",
        "\"none\"",
    ),
    key(
        "training.average.kind",
        "The average. A table without it means `polyak`.",
        "`\"none\"`, `\"polyak\"` (exponential moving average)",
        "",
        "\"none\"",
    ),
    key(
        "training.average.decay",
        "Share of the old average that is kept at each step (polyak).",
        "a number from 0 up to 1",
        "",
        "0.999",
    ),
    key(
        "training.winograd",
        "By which algorithm 3x3 convolutions may be computed at most: their definition, Winograd's tiles of 2x2 outputs (rounding errors as small) or 4x4 (ten times larger). The present engine computes all by their definition, and refuses `\"f4\"`.",
        "`\"off\"`, `\"f2\"`, `\"f4\"`",
        "",
        "\"f2\"",
    ),
    key(
        "training.precision",
        "What the factors of matrix products (1x1 convolutions, the classifier) are rounded to. Weights and sums stay f32. The present engine refuses `\"bf16\"`.",
        "`\"f32\"`, `\"bf16\"`",
        "",
        "\"f32\"",
    ),
    key(
        "training.weights-seed",
        "Seed of the initial weights and of dropout; without it the run's.",
        "a whole number from 0",
        "",
        "",
    ),
    key(
        "training.order-seed",
        "Seed of the order of the images and of augmentation; without it the run's.",
        "a whole number from 0",
        "",
        "",
    ),
];
