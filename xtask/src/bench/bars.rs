//! Pictures of bars: groups of them under each other, to scale within a group.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

const WIDTH: u32 = 1200;
/// Of a bar, and of all that is above and below the bars of a group.
const BAR: u32 = 14;
const GAP: u32 = 26;
const HEAD: u32 = 70;
const NAMES: u32 = 300;
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 92, 230),
    RGBColor(64, 145, 255),
    RGBColor(130, 185, 255),
    RGBColor(185, 215, 255),
    RGBColor(230, 120, 0),
    RGBColor(190, 60, 60),
    RGBColor(120, 120, 120),
    RGBColor(60, 60, 60),
];

/// A bar, with what it stands for.
#[derive(Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) group: String,
    pub(super) name: String,
    /// Which of the colours, from 0.
    pub(super) colour: usize,
    pub(super) value: f64,
}

/// What is written above the bars.
pub(super) struct Head<'a> {
    pub(super) title: &'a str,
    pub(super) command: &'a str,
    pub(super) machine: &'a str,
    /// The delays between the sites.
    pub(super) profile: &'a str,
}

/// Draws bars, those of a group being neighbours.
///
/// # Errors
///
/// When the picture cannot be written.
pub(super) fn picture(path: &Path, head: &Head<'_>, bars: &[Bar]) -> Result<()> {
    let drawn = draw(path, head, bars);
    drawn.with_context(|| format!("cannot draw {}", path.display()))
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

fn draw(path: &Path, head: &Head<'_>, bars: &[Bar]) -> Result<()> {
    let layout = Layout::of(bars);
    let area = SVGBackend::new(path, (WIDTH, layout.height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |text: &str, size: u32, (x, y): (u32, u32)| {
        let style = ("sans-serif", size).into_font().color(&BLACK);
        area.draw(&Text::new(text.to_owned(), (pixel(x), pixel(y)), style))
    };
    text(head.title, 18, (10, 8))?;
    text(head.command, 11, (10, 34))?;
    text(
        &format!(
            "{}; profile {}; bars are to scale within a group",
            head.machine, head.profile
        ),
        11,
        (10, 50),
    )?;
    for (y, name) in layout.names {
        text(name, 12, (10, y - 2))?;
    }
    for (y, bar) in layout.bars {
        text(&bar.name, 11, (20, y + 2))?;
        let length = length(bar.value, longest(bars, &bar.group));
        let from = (pixel(NAMES), pixel(y + 1));
        let to = (pixel(NAMES + length), pixel(y + BAR - 1));
        area.draw(&Rectangle::new([from, to], colour(bar.colour).filled()))?;
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

fn colour(number: usize) -> RGBColor {
    COLOURS.get(number).copied().unwrap_or(BLACK)
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
            name: String::new(),
            colour: 0,
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
