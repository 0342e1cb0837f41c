//! Charts, drawn here: pure geometry, written out by a template.
//!
//! The drawing is stretched to the width that there is; texts stand beside it as HTML, so
//! that they are never stretched with it.

use askama::Template;

/// Width and height of the drawing, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 150.0;

/// What is drawn over time.
#[derive(Clone)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// Its colour, by what it means.
    pub(super) class: &'static str,
    /// One for each step; none where there is nothing to measure.
    pub(super) values: Vec<Option<f64>>,
    /// What it comes to, for the legend.
    pub(super) total: String,
}

/// How series stand to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Parts of a whole, on top of each other.
    Stacked,
    /// Each for itself.
    Lines,
}

/// A chart as its template writes it.
#[derive(Template)]
#[template(path = "chart.html")]
pub(super) struct Chart {
    title: &'static str,
    /// What somebody is told who does not see it.
    summary: String,
    series: Vec<Series>,
    /// From the top: where, and what stands there.
    grid: Vec<(f64, String)>,
    bars: Vec<Bar>,
    lines: Vec<Line>,
    columns: Vec<Column>,
    /// The first, the middle and the last time.
    times: [String; 3],
    is_empty: bool,
}

struct Bar {
    class: &'static str,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

struct Line {
    class: &'static str,
    path: String,
}

/// A step, from top to bottom, and what it says when it is pointed at.
struct Column {
    x: f64,
    width: f64,
    tip: String,
}

impl Chart {
    /// A chart of these series over these times; `show` writes a value.
    pub(super) fn new(
        title: &'static str,
        form: Form,
        times: &[String],
        series: Vec<Series>,
        show: impl Fn(f64) -> String,
    ) -> Self {
        let steps = times.len().max(1);
        let at = |step: usize| series.iter().map(move |series| value(series, step));
        let top = |step: usize| match form {
            Form::Stacked => at(step).flatten().sum(),
            Form::Lines => at(step).flatten().fold(0.0, f64::max),
        };
        let highest = (0..steps).map(top).fold(0.0, f64::max);
        let scale = ceiling(highest);
        let width = WIDTH / steps as f64;
        let summary = series
            .iter()
            .map(|series| format!("{} {}", series.total, series.name))
            .collect::<Vec<_>>()
            .join(", ");
        let columns = times.iter().enumerate().map(|(step, time)| Column {
            x: step as f64 * width,
            width,
            tip: tip(time, &series, step, &show),
        });
        let time = |step: usize| times.get(step).cloned().unwrap_or_default();
        Self {
            title,
            summary,
            grid: [scale, scale / 2.0]
                .map(|at| (HEIGHT - at / scale * HEIGHT, show(at)))
                .to_vec(),
            bars: match form {
                Form::Stacked => bars(&series, steps, scale),
                Form::Lines => Vec::new(),
            },
            lines: match form {
                Form::Stacked => Vec::new(),
                Form::Lines => series.iter().map(|series| line(series, scale)).collect(),
            },
            columns: columns.collect(),
            times: [time(0), time(steps / 2), time(steps - 1)],
            is_empty: highest == 0.0,
            series,
        }
    }
}

fn value(series: &Series, step: usize) -> Option<f64> {
    series.values.get(step).copied().flatten()
}

fn tip(time: &str, series: &[Series], step: usize, show: impl Fn(f64) -> String) -> String {
    let mut tip = time.to_owned();
    for series in series {
        if let Some(value) = value(series, step) {
            tip.push_str(&format!(" · {} {}", series.name, show(value)));
        }
    }
    tip
}

fn bars(series: &[Series], steps: usize, scale: f64) -> Vec<Bar> {
    let step_width = WIDTH / steps as f64;
    let gap = (step_width * 0.18).min(2.0);
    let mut bars = Vec::new();
    for step in 0..steps {
        let mut foot = HEIGHT;
        for series in series {
            let value = value(series, step).unwrap_or_default();
            if value <= 0.0 {
                continue;
            }
            // Whatever has happened at all is seen.
            let height = (value / scale * HEIGHT).max(1.5).min(foot);
            foot -= height;
            bars.push(Bar {
                class: series.class,
                x: step as f64 * step_width + gap / 2.0,
                y: foot,
                width: step_width - gap,
                height,
            });
        }
    }
    bars
}

/// From middle to middle of the steps; where values are missing it is broken off.
fn line(series: &Series, scale: f64) -> Line {
    let width = WIDTH / series.values.len().max(1) as f64;
    let mut path = String::new();
    let mut is_drawing = false;
    for (step, value) in series.values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let x = (step as f64 + 0.5) * width;
        let y = HEIGHT - value / scale * HEIGHT;
        if is_drawing {
            path.push_str(&format!("L{x:.1} {y:.1}"));
        } else {
            // A dash as long as the line is wide: one value alone is seen, too.
            path.push_str(&format!("M{:.1} {y:.1}L{x:.1} {y:.1}", x - width * 0.3));
        }
        is_drawing = true;
    }
    Line {
        class: series.class,
        path,
    }
}

/// The next even, round number above: 2, 4, 10, 20, 40, 100 …
fn ceiling(highest: f64) -> f64 {
    if highest <= 2.0 {
        return 2.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    let factors = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    let factor = factors.into_iter().find(|factor| highest <= factor * power);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use askama::Template as _;

    use super::{Chart, Form, HEIGHT, Series, ceiling, line};

    fn series(values: &[Option<f64>]) -> Series {
        Series {
            name: "received",
            class: "good",
            values: values.to_vec(),
            total: "7".to_owned(),
        }
    }

    #[test]
    fn scales_end_at_round_numbers() {
        let highest = [0.0, 1.0, 3.0, 7.0, 41.0, 100.0, 101.0, 6400.0];
        assert_eq!(
            highest.map(ceiling),
            [2.0, 2.0, 4.0, 8.0, 60.0, 100.0, 200.0, 8000.0]
        );
    }

    #[test]
    fn parts_stand_on_each_other_and_stay_inside() {
        let times = ["a".to_owned(), "b".to_owned()];
        let parts = vec![series(&[Some(3.0), None]), series(&[Some(1.0), Some(0.0)])];
        let chart = Chart::new("Webhooks", Form::Stacked, &times, parts, |n| n.to_string());
        let [first, second] = &chart.bars[..] else {
            panic!("two parts of the first step, none of the second");
        };
        assert!((first.y + first.height - HEIGHT).abs() < 1e-9);
        assert!((second.y + second.height - first.y).abs() < 1e-9);
        assert!(second.y >= 0.0);
        assert_eq!(chart.columns[0].tip, "a · received 3 · received 1");
    }

    #[test]
    fn a_line_is_broken_where_nothing_was_measured() {
        let line = line(&series(&[Some(1.0), Some(2.0), None, Some(2.0)]), 2.0);
        assert_eq!(line.path.matches('M').count(), 2);
    }

    #[test]
    fn what_never_happened_is_an_empty_chart() {
        let chart = Chart::new("Webhooks", Form::Lines, &[], vec![series(&[])], |n| {
            n.to_string()
        });
        assert!(chart.is_empty);
        assert!(!chart.render().unwrap().contains("NaN"));
    }
}
