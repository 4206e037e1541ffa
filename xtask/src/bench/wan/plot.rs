//! Plots of what was measured: a picture a scenario, bars of systems side by
//! side. What was refused is not shown.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum as _;
use plotters::prelude::*;

use super::report::{Measured, Report};
use super::scenario::Scenario;
use super::system::System;

const WIDTH: u32 = 1200;
/// Of a bar, and of all that is above and below the bars of a group.
const BAR: u32 = 14;
const GAP: u32 = 26;
const HEAD: u32 = 70;
const NAMES: u32 = 300;
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 92, 230),
    RGBColor(64, 145, 255),
    RGBColor(130, 185, 255),
    RGBColor(185, 215, 255),
    RGBColor(230, 120, 0),
    RGBColor(190, 60, 60),
    RGBColor(120, 120, 120),
];

/// Bars with what they stand for.
#[derive(Debug, PartialEq)]
struct Bar {
    group: String,
    system: System,
    value: f64,
}

/// A picture.
struct Picture {
    name: &'static str,
    title: &'static str,
    scenario: Scenario,
    /// What a bar shows, with what that is called within its group.
    bars: fn(&Measured) -> Vec<(String, f64)>,
}

const PICTURES: [Picture; 6] = [
    Picture {
        name: "home",
        title: "A section on the site's own key: median in ms, mean of the sites",
        scenario: Scenario::Home,
        bars: median,
    },
    Picture {
        name: "turn",
        title: "A section on a key that the sites use in turn: median in ms, mean of the sites",
        scenario: Scenario::Turn,
        bars: median,
    },
    Picture {
        name: "contended",
        title: "One key wanted at all sites: sections a second",
        scenario: Scenario::Contended,
        bars: |measured| vec![(String::new(), measured.per_second(""))],
    },
    Picture {
        name: "hand-over",
        title: "From a release at one site to the grant at another: median in ms",
        scenario: Scenario::HandOver,
        bars: |measured| {
            let row =
                |row: &super::report::Row| (format!("{}, {}", row.site, row.what), row.median_ms);
            measured.rows.iter().map(row).collect()
        },
    },
    Picture {
        name: "throughput",
        title: "16 clients a site, keys of their own: sections a second, CPU of one in ms",
        scenario: Scenario::Throughput,
        bars: |measured| {
            let rate = (
                ": sections a second".to_owned(),
                measured.per_second("closed loop"),
            );
            let cpu = (": CPU in ms".to_owned(), measured.cost.servers_cpu_ms());
            vec![rate, cpu]
        },
    },
    Picture {
        name: "skew",
        title: "9 of 10 sections at the key's home site: median in ms, mean of the sites",
        scenario: Scenario::Skew,
        bars: |measured| {
            let mean = |what: &str| {
                Some((
                    format!(": {what}"),
                    measured.mean(what, |row| row.median_ms)?,
                ))
            };
            ["home", "away"].into_iter().filter_map(mean).collect()
        },
    },
];

/// Writes all pictures for which there is something.
///
/// # Errors
///
/// When one cannot be written.
pub(super) fn all(folder: &Path, report: &Report) -> Result<()> {
    for picture in &PICTURES {
        let bars = picture.bars(&report.measured);
        if bars.is_empty() {
            continue;
        }
        let path = folder.join(format!("wan-{}.svg", picture.name));
        let drawn = draw(&path, picture.title, report, &bars);
        drawn.with_context(|| format!("cannot draw {}", path.display()))?;
    }
    Ok(())
}

fn median(measured: &Measured) -> Vec<(String, f64)> {
    let mean = measured.mean("", |row| row.median_ms);
    mean.map(|mean| (String::new(), mean)).into_iter().collect()
}

impl Picture {
    /// Its bars, those of a group together, systems in their order.
    fn bars(&self, measured: &[Measured]) -> Vec<Bar> {
        let of_scenario = |measured: &&Measured| {
            measured.case.scenario == self.scenario && measured.refused.is_none()
        };
        let mut measured: Vec<&Measured> = measured.iter().filter(of_scenario).collect();
        measured.sort_by_key(|measured| (measured.case.order(), measured.system));
        let bars = |measured: &&Measured| {
            let (group, system) = (measured.case.title(), measured.system);
            let bar = move |(what, value)| Bar {
                group: format!("{group}{what}"),
                system,
                value,
            };
            (self.bars)(measured)
                .into_iter()
                .map(bar)
                .collect::<Vec<_>>()
        };
        let mut groups: Vec<Vec<Bar>> = Vec::new();
        for bar in measured.iter().flat_map(bars) {
            let mut known = groups.iter_mut();
            let same = known.find(|group| group.first().is_some_and(|one| one.group == bar.group));
            match same {
                Some(group) => group.push(bar),
                None => groups.push(vec![bar]),
            }
        }
        groups.into_iter().flatten().collect()
    }
}

/// Where everything is, from the top.
struct Layout<'a> {
    names: Vec<(u32, &'a str)>,
    bars: Vec<(u32, &'a Bar)>,
    height: u32,
}

impl<'a> Layout<'a> {
    fn of(all: &'a [Bar]) -> Self {
        let (mut names, mut bars, mut y) = (Vec::new(), Vec::new(), HEAD);
        for bar in all {
            if names.last().is_none_or(|(_, name)| *name != bar.group) {
                y += GAP;
                names.push((y - BAR, bar.group.as_str()));
            }
            bars.push((y, bar));
            y += BAR;
        }
        let height = y + GAP;
        Self {
            names,
            bars,
            height,
        }
    }
}

fn draw(path: &Path, title: &str, report: &Report, bars: &[Bar]) -> Result<()> {
    let layout = Layout::of(bars);
    let area = SVGBackend::new(path, (WIDTH, layout.height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |text: &str, size: u32, (x, y): (u32, u32)| {
        let style = ("sans-serif", size).into_font().color(&BLACK);
        area.draw(&Text::new(text.to_owned(), (pixel(x), pixel(y)), style))
    };
    text(title, 18, (10, 8))?;
    text(&report.command, 11, (10, 34))?;
    text(
        &format!(
            "{}; profile {}; bars are to scale within a group",
            report.machine, report.profile
        ),
        11,
        (10, 50),
    )?;
    for (y, name) in layout.names {
        text(name, 12, (10, y - 2))?;
    }
    for (y, bar) in layout.bars {
        text(&bar.system.name(), 11, (20, y + 2))?;
        let length = length(bar.value, longest(bars, &bar.group));
        let from = (pixel(NAMES), pixel(y + 1));
        let to = (pixel(NAMES + length), pixel(y + BAR - 1));
        area.draw(&Rectangle::new([from, to], colour(bar.system).filled()))?;
        text(&number(bar.value), 11, (NAMES + length + 6, y + 2))?;
    }
    area.present()?;
    Ok(())
}

/// The largest value of a group.
fn longest(bars: &[Bar], group: &str) -> f64 {
    let of_group = bars.iter().filter(|bar| bar.group == group);
    of_group.map(|bar| bar.value).fold(0.0, f64::max)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 1 and the width"
)]
fn length(value: f64, longest: f64) -> u32 {
    let most = f64::from(WIDTH - NAMES - 80);
    (value / longest.max(1e-9) * most).clamp(1.0, most) as u32
}

fn colour(system: System) -> RGBColor {
    let number = System::value_variants()
        .iter()
        .position(|other| *other == system);
    let colour = number.and_then(|number| COLOURS.get(number));
    colour.copied().unwrap_or(BLACK)
}

/// To three digits or so.
fn number(value: f64) -> String {
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$}")
}

fn pixel(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(group: &str, value: f64) -> Bar {
        Bar {
            group: group.to_owned(),
            system: System::Etcd,
            value,
        }
    }

    #[test]
    fn bars_are_to_scale_within_their_group() {
        let bars = [bar("a", 1.0), bar("a", 2.0), bar("b", 100.0)];
        let lengths = bars
            .each_ref()
            .map(|bar| length(bar.value, longest(&bars, &bar.group)));
        assert_eq!((lengths[0] * 2, lengths[1]), (lengths[1], lengths[2]));
    }

    #[test]
    fn a_group_has_one_name_above_its_bars() {
        let bars = [bar("a", 1.0), bar("a", 2.0), bar("b", 3.0)];
        let layout = Layout::of(&bars);
        let names: Vec<_> = layout.names.iter().map(|(_, name)| *name).collect();
        assert_eq!(names, ["a", "b"]);
        let mut places = layout.bars.iter();
        assert!(places.all(|(y, _)| *y < layout.height));
    }

    #[test]
    fn numbers_have_three_digits() {
        let all = [0.0, 9.876, 98.76, 987.6].map(number);
        assert_eq!(all, ["0.00", "9.88", "98.8", "988"]);
    }
}
