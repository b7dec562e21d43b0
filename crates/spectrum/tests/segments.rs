//! Segments and schedules: what they resolve to, how they are read and written.

use decouple_spectrum::segments::{SegmentSchedule, Segments, level};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    segments: SegmentSchedule,
}

fn read(value: &str) -> SegmentSchedule {
    toml::from_str::<File>(&format!("segments = {value}")).unwrap().segments
}

/// The whole message that a person sees, position included.
fn error(value: &str) -> String {
    toml::from_str::<File>(&format!("# A comment.\nsegments = {value}\n")).unwrap_err().to_string()
}

#[test]
fn each_form_is_read() {
    assert_eq!(read("3"), Segments::Count(3).into());
    assert_eq!(read(r#""per-channel""#), Segments::PerChannel.into());
    assert_eq!(read("{ channels-per-segment = 8 }"), Segments::ChannelsPerSegment(8).into());
    assert_eq!(read("{ level = 0.5 }"), Segments::Level(0.5).into());
    assert_eq!(read("{ level = 1 }"), Segments::Level(1.0).into());
    let list = vec![Segments::Count(1), Segments::Level(0.25), Segments::PerChannel];
    assert_eq!(read(r#"[1, { level = 0.25 }, "per-channel"]"#), SegmentSchedule::PerStage(list));
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let mistakes = [
        r#""perchannel""#,
        "0",
        "-2",
        "2.5",
        "true",
        "{ level = 1.5 }",
        "{ level = nan }",
        r#"{ level = "high" }"#,
        "{ channels-per-segment = 0 }",
        "{ levle = 0.5 }",
        "{}",
        "{ level = 0.5, channels-per-segment = 8 }",
        "[1, 3, 0]",
        "[1, [3]]",
    ];
    insta::assert_snapshot!(mistakes.map(error).join("\n"));
}

#[test]
fn each_form_resolves_within_one_to_the_channels() {
    assert_eq!(Segments::Count(7).resolve(4), 4);
    assert_eq!(Segments::PerChannel.resolve(728), 728);
    assert_eq!(Segments::ChannelsPerSegment(8).resolve(20), 3);
    assert_eq!(Segments::ChannelsPerSegment(100).resolve(20), 1);
    // 728 ^ 0.5 = 26.98.
    assert_eq!(Segments::Level(0.5).resolve(728), 27);
    assert_eq!(Segments::Level(0.0).resolve(728), 1);
    assert_eq!(Segments::Level(1.0).resolve(728), 728);
}

#[test]
fn level_runs_from_regular_to_per_channel() {
    assert_eq!(level(1, 64), 0.0);
    assert_eq!(level(64, 64), 1.0);
    assert!((level(8, 64) - 0.5).abs() < 1e-15);
    assert_eq!(level(1, 1), 1.0);
}

#[test]
fn a_schedule_is_shown_shortly() {
    let shown = |value| read(value).to_string();
    assert_eq!(shown("3"), "3");
    assert_eq!(shown(r#""per-channel""#), "per-channel");
    assert_eq!(shown("{ channels-per-segment = 8 }"), "8 per segment");
    assert_eq!(shown("{ level = 0.5 }"), "level 0.5");
    assert_eq!(shown("[1, 3, 8]"), "1-3-8");
}

fn any_segments() -> impl Strategy<Value = Segments> {
    prop_oneof![
        (1usize..1_000).prop_map(Segments::Count),
        Just(Segments::PerChannel),
        (1usize..1_000).prop_map(Segments::ChannelsPerSegment),
        (0u16..=1_000).prop_map(|thousandths| Segments::Level(f64::from(thousandths) / 1_000.0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn resolved_segments_never_leave_their_range(segments in any_segments(), channels in 1usize..3_000) {
        let resolved = segments.resolve(channels);
        prop_assert!((1..=channels).contains(&resolved));
        prop_assert!((0.0..=1.0).contains(&level(resolved, channels)));
    }

    #[test]
    fn what_is_written_is_read_back(list in prop::collection::vec(any_segments(), 1..5), uniform: bool) {
        let schedule = if uniform { list[0].into() } else { SegmentSchedule::PerStage(list) };
        let json = serde_json::to_string(&schedule).unwrap();
        prop_assert_eq!(&serde_json::from_str::<SegmentSchedule>(&json).unwrap(), &schedule);
        let table = toml::Table::from_iter([("segments".to_owned(), toml::Value::try_from(&schedule).unwrap())]);
        let file: File = toml::from_str(&toml::to_string(&table).unwrap()).unwrap();
        prop_assert_eq!(file.segments, schedule);
    }
}
