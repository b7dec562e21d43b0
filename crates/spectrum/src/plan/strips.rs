//! Inference on one image: its rows in the lanes.
//!
//! A map of sixteen images has one image in each lane, so a single one would leave fifteen lanes empty. Here a lane
//! holds a strip of its rows instead: with R rows in each, lane l has rows `l R` to `l R + R`, and those beyond the last
//! row of the image hold nothing that counts. Steps are the same as for sixteen images of R rows. What a step reads
//! beyond the rows of its own lane, it is given: before a convolution or pooling of several rows, every lane's [`Cut`]
//! of the map is put together.

use decouple_kernels::{
    convs::tiles_pay,
    geometry::{ConvGeometry, ConvOptions, MapShape, Padding, PoolGeometry},
    layout::{LANES, MapLayout},
    maps::Cut,
};

use super::{Conv, Map, MapId, Plan, Read, Step, Work, lifetimes};

impl Plan {
    /// The plan for inference on a single image. The first map is the image as a batch of one. All others have a strip of
    /// rows in each lane, or all rows in the first one, where a mean over them is taken. It has no way back.
    pub fn in_strips(&self) -> Self {
        let mut strips = Strips {
            whole: self,
            plan: Self {
                graph: self.graph.clone(),
                steps: Vec::new(),
                maps: Vec::new(),
                gradients: Vec::new(),
            },
            ids: vec![MapId(0); self.maps.len()],
        };
        strips.image();
        self.steps.iter().for_each(|step| strips.step(step));
        lifetimes::settle_forward(&mut strips.plan);
        // A batch of one image has one layout.
        strips.plan.maps[0].margin = self.maps[0].margin;
        strips.plan
    }

    /// The layout in which a step finds its first map: as it lies, or cut.
    pub fn found(&self, step: &Step) -> MapLayout {
        let mut layout = self.layout(step.reads[0].map);
        layout.shape.h = step.cut.map_or(layout.shape.h, |cut| cut.rows);
        layout
    }

    /// Rows of an image in each lane, where it has `height`: an even number where Winograd's tiles of two rows pay.
    fn strip(&self, height: usize) -> usize {
        let has_tiles =
            |conv: &Conv| conv.geometry.output().h == height && tiles_pay(&conv.geometry, conv.order);
        let of_step = |step: &Step| matches!(&step.work, Work::Convs(convs) if convs.iter().any(has_tiles));
        let rows = height.div_ceil(LANES);
        if self.steps.iter().any(of_step) { rows.next_multiple_of(2) } else { rows }
    }
}

struct Strips<'a> {
    whole: &'a Plan,
    plan: Plan,
    /// For each map of the whole plan, that of this one.
    ids: Vec<MapId>,
}

impl Strips<'_> {
    /// The image as it is given, and its strips.
    fn image(&mut self) {
        let image = self.whole.maps[0].clone();
        self.plan.maps.push(Map { norm: None, written: None, ..image.clone() });
        let height = image.shape.h;
        let strip = self.whole.strip(height);
        let read = Read { map: MapId(0), activation: None, gradient: None };
        self.ids[0] = self.map(&image, strip);
        let cut = Cut { height, rows: strip, step: strip, above: 0 };
        self.push(Step {
            node: image.node,
            work: Work::Concat,
            cut: Some(cut),
            reads: vec![read],
            middle: None,
            writes: self.ids[0],
        });
    }

    /// A map of the whole plan with `rows` rows in each lane.
    fn map(&mut self, map: &Map, rows: usize) -> MapId {
        let shape = MapShape { h: rows, ..map.shape };
        self.plan.maps.push(Map { shape, gradient: None, kept_until: None, ..map.clone() });
        MapId(self.plan.maps.len() - 1)
    }

    fn push(&mut self, step: Step) {
        self.plan.maps[step.writes.0].written = Some(self.plan.steps.len());
        self.plan.steps.push(step);
    }

    fn step(&mut self, step: &Step) {
        let mut reads: Vec<Read> = (step.reads.iter())
            .map(|read| Read { map: self.ids[read.map.0], gradient: None, ..read.clone() })
            .collect();
        match &step.work {
            Work::Convs(convs) => {
                // A pair is taken apart: the second reads other rows than the first writes.
                let maps = step.middle.into_iter().chain([step.writes]);
                for (conv, writes) in convs.iter().zip(maps) {
                    self.conv(step, conv, reads, writes);
                    let activation = conv.activation;
                    reads = vec![Read { map: self.ids[writes.0], activation, gradient: None }];
                }
            }
            Work::MaxPool(geometry) => self.max_pool(step, geometry, reads),
            // The mean of a window at the edge is over fewer rows, which not every lane has.
            Work::MeanPool(geometry, _) => self.on_one_lane(step, geometry.input().h, reads),
            Work::GlobalMeanPool => {
                let height = self.whole.map(step.reads[0].map).shape.h;
                self.on_one_lane(step, height, reads);
            }
            Work::Add | Work::Concat | Work::Dropout(_) => {
                let writes = self.strips(step.writes);
                self.push(Step { cut: None, reads, writes, ..step.clone() });
            }
        }
    }

    /// The map `id` in strips.
    fn strips(&mut self, id: MapId) -> MapId {
        let map = self.whole.map(id);
        self.ids[id.0] = self.map(map, self.whole.strip(map.shape.h));
        self.ids[id.0]
    }

    fn conv(&mut self, step: &Step, conv: &Conv, reads: Vec<Read>, id: MapId) {
        let (whole, writes) = (conv.geometry, self.strips(id));
        let options = *whole.options();
        let span = (options.kernel_h - 1) * options.dilation + 1;
        let (cut, padding) = self.windows(whole.input().h, writes, span, options.stride, options.padding);
        let input = MapShape { h: cut.rows, ..whole.input() };
        let geometry = ConvGeometry::new(input, whole.output().c, ConvOptions { padding, ..options });
        let geometry = geometry.expect("a kernel that fits the image fits as many of its rows");
        let conv = Conv { geometry, whole: Some(whole), activation: None, ..conv.clone() };
        self.cut(step, Work::Convs(vec![conv]), (cut, options.padding.bottom), reads, writes);
    }

    fn max_pool(&mut self, step: &Step, whole: &PoolGeometry, reads: Vec<Read>) {
        let (window, stride, writes) = (whole.window(), whole.stride(), self.strips(step.writes));
        let (cut, padding) = self.windows(whole.input().h, writes, window, stride, whole.padding());
        let input = MapShape { h: cut.rows, ..whole.input() };
        let geometry = PoolGeometry::new(input, window, stride, padding);
        let geometry = geometry.expect("a window that fits the image fits as many of its rows");
        self.cut(step, Work::MaxPool(geometry), (cut, whole.padding().bottom), reads, writes);
    }

    /// What each lane reads of an image of `height` rows by windows of `span` rows, to write its rows of `writes`; and the
    /// padding that is left.
    fn windows(
        &self,
        height: usize,
        writes: MapId,
        span: usize,
        stride: usize,
        padding: Padding,
    ) -> (Cut, Padding) {
        let strip = self.plan.map(writes).shape.h;
        let cut = Cut { height, rows: (strip - 1) * stride + span, step: strip * stride, above: padding.top };
        (cut, Padding { top: 0, bottom: 0, ..padding })
    }

    /// A step on all `height` rows in the first lane, whose result is cut into strips again.
    fn on_one_lane(&mut self, step: &Step, height: usize, reads: Vec<Read>) {
        let result = self.whole.map(step.writes).clone();
        let whole = self.map(&Map { norm: None, ..result.clone() }, result.shape.h);
        let all = Cut { height, rows: height, step: height, above: 0 };
        self.cut(step, step.work.clone(), (all, 0), reads, whole);
        let writes = self.strips(step.writes);
        let strip = self.plan.map(writes).shape.h;
        let own = Cut { height: result.shape.h, rows: strip, step: strip, above: 0 };
        let reads = vec![Read { map: whole, activation: None, gradient: None }];
        self.cut(step, Work::Concat, (own, 0), reads, writes);
    }

    /// A step that reads `cut` of its map and `below` rows beyond the image, or the map as it lies if that is the same.
    fn cut(&mut self, step: &Step, work: Work, (cut, below): (Cut, usize), reads: Vec<Read>, writes: MapId) {
        let held = self.plan.map(reads[0].map).shape.h;
        let is_own = cut.rows == held && cut.step == held && (cut.above, below) == (0, 0);
        let cut = (!is_own).then_some(cut);
        self.push(Step { node: step.node, work, cut, reads, middle: None, writes });
    }
}
