//! `index.html` over all experiments, and the card that each experiment provides for it.

use maud::{PreEscaped, html};
use serde::{Deserialize, Serialize};

use super::budgets::{Curve, under_each_budget};
use super::frame::{facts, page};
use crate::analysis::Analysis;
use crate::figures::{TextSetting, headline};

/// `card.json`: what the index shows of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Name of the experiment and of its folder.
    pub name: String,
    /// What it asks.
    pub question: String,
    /// The verdict in brief, one sentence per item.
    pub verdict: Vec<String>,
    /// Data, budget, points, runs.
    pub facts: String,
    /// Its runs, where it varies the point of the spectrum alone.
    #[serde(default)]
    pub curve: Option<Curve>,
}

impl Card {
    /// The card of an analysis.
    pub fn of(analysis: &Analysis) -> Self {
        Self {
            name: analysis.study.name.clone(),
            question: analysis.study.question.clone(),
            verdict: analysis.verdict.summary.clone(),
            facts: facts(analysis),
            curve: Curve::of(analysis),
        }
    }
}

/// The most sentences of a verdict that a card shows.
const SENTENCES: usize = 4;

const STYLE: &str = "
.card { display: grid; grid-template-columns: minmax(0, 17rem) minmax(0, 1fr); gap: 1.5rem; padding: 1.5rem 0;
  border-top: 1px solid var(--line); }
.card h2 { margin: 0 0 .3rem; }
.card img { width: 100%; height: auto; border-radius: 6px; background: #fff; }
@media (max-width: 40rem) { .card { grid-template-columns: minmax(0, 1fr); } }
";

/// The page over all experiments: the curve over the spectrum under each budget, if there are several, then
/// question, verdict and figure of each of `cards`, in order. `problems` says what could not be read, one
/// sentence each.
pub fn index(cards: &[Card], problems: &[String]) -> String {
    let together = under_each_budget(cards);
    let problems: Vec<&String> =
        problems.iter().chain(together.iter().filter_map(|study| study.as_ref().err())).collect();
    let body = html! {
        header {
            p class="eyebrow" { "decouple" }
            h1 { "How far should a convolutional network decouple cross-channel from spatial correlations?" }
        }
        main {
            @if cards.is_empty() { p { "No experiment has a report yet." } }
            @for analysis in together.iter().flatten() {
                figure { div class="scroll" { (PreEscaped(headline(analysis).svg(TextSetting::Page))) } }
            }
            @for card in cards {
                @let report = report_of(&card.name);
                article class="card" {
                    a href=(report) {
                        img src=(format!("{}/figures/accuracy-vs-decoupling.svg", folder(&card.name)))
                            alt=(format!("Test scores against decoupling level, {}", card.name)) loading="lazy";
                    }
                    div {
                        h2 { a href=(report) { (card.name) } }
                        @if !card.question.is_empty() { p { (card.question) } }
                        p {
                            @for sentence in card.verdict.iter().take(SENTENCES) { strong { (sentence) " " } }
                            @if card.verdict.len() > SENTENCES {
                                "And " (card.verdict.len() - SENTENCES) " more in the report."
                            }
                        }
                        p class="facts" { (card.facts) }
                    }
                }
            }
            @if !problems.is_empty() {
                h2 { "Not shown" }
                ul { @for problem in problems { li { (problem) } } }
            }
        }
    };
    page("decouple: all experiments", "Every experiment, its question and its answer.", STYLE, body)
        .into_string()
}

/// Whether the index `page` lists the experiment `name`.
pub fn lists(page: &str, name: &str) -> bool {
    page.contains(&format!("href=\"{}\"", report_of(name)))
}

/// The address of the report of the experiment `name`.
fn report_of(name: &str) -> String {
    format!("{}/report.html", folder(name))
}

/// The name of a folder in an address, where a colon would turn the text before it into a scheme.
fn folder(name: &str) -> String {
    let mut address = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            address.push(byte.into());
        } else {
            address += &format!("%{byte:02X}");
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_earlier_versions_are_read() {
        let costs = r#"{"parameters":1,"statistics":2,"macs":3,"activations":4}"#;
        let run = format!(r#"{{"segments":"1","seed":0,"level":0.0,"costs":{costs},"accuracy":0.5}}"#);
        let curve = format!(r#"{{"held":null,"reference":"a","data":"b","epochs":8,"runs":[{run}]}}"#);
        let card = format!(r#"{{"name":"a","question":"b?","verdict":["c."],"facts":"d","curve":{curve}}}"#);
        let card: Card = serde_json::from_str(&card).expect("a card");
        assert_eq!(card.curve.as_ref().expect("a curve").runs[0].score, 0.5);
        let long = Card { verdict: vec!["Long.".to_owned(); 10], curve: None, ..card };
        let page = index(&[long], &[]);
        assert_eq!((page.matches("Long.").count(), page.matches("And 6 more").count()), (4, 1));
    }

    #[test]
    fn a_folder_is_never_an_address_of_its_own() {
        let name = "javascript:alert(1)<b>".to_owned();
        let card =
            Card { name, question: String::new(), verdict: Vec::new(), facts: String::new(), curve: None };
        let page = index(&[card], &[]);
        assert!(page.contains("href=\"javascript%3Aalert%281%29%3Cb%3E/report.html\""), "{page}");
        assert!(!page.contains("javascript:alert(1)/") && !page.contains("<b>"), "{page}");
    }
}
