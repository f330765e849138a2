//! The curves of the report, as inline SVG.
//!
//! Each chart is drawn twice, for wide and for narrow screens; the page's style shows the one that fits. Colours
//! are placeholders that the style sheet replaces (`[stroke="#0000a1"]` and so on), so that one drawing serves
//! the light and the dark theme.

use crate::hist::Latencies;
use crate::result::{OpenLoop, Sample};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

/// Stands for the colour of text.
const INK: RGBColor = RGBColor(0, 0, 0xa0);
/// Stands for the colour of the engine's curves.
const ENGINE: RGBColor = RGBColor(0, 0, 0xa1);
/// Stands for the colour of the floor's curve.
const FLOOR: RGBColor = RGBColor(0, 0, 0xa2);
/// Stands for the colour of grid lines and axes.
const GRID: RGBColor = RGBColor(0, 0, 0xa3);

/// Width and height of the two drawings of a chart.
const SIZES: [(&str, (u32, u32)); 2] = [("wide", (860, 340)), ("narrow", (380, 300))];

/// Room above for half of the topmost label, which stands beside the end of its axis.
const MARGIN_TOP: u32 = 12;
/// Room at the right for half of the last label, which stands below the end of its axis; "99.999%" is the widest.
const MARGIN_RIGHT: u32 = 36;

/// Fewer samples than this make no curve.
const SAMPLES_MIN: usize = 3;

/// Latency over percentile, with the floor beside it; both axes logarithmic.
pub fn percentiles(run: &OpenLoop) -> String {
    let nines_max = (run.latencies.samples().max(10) as f64).log10().min(5.0);
    let curves = [(&run.latencies, ENGINE), (&run.floor, FLOOR)].map(|(latencies, colour)| {
        let points = percentile_points(latencies, nines_max);
        (points, colour)
    });
    let values = || curves.iter().flat_map(|(points, _)| points).map(|&(_, us)| us);
    let decade = |us: f64, round: fn(f64) -> f64| 10f64.powf(round(us.log10()));
    let low = decade(values().fold(f64::INFINITY, f64::min), f64::floor);
    let high = decade(values().fold(low * 10.0, f64::max), f64::ceil);
    both_sizes("Latency by percentile", |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_top(MARGIN_TOP)
            .margin_right(MARGIN_RIGHT)
            .x_label_area_size(28)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..nines_max, (low..high).log_scale())?;
        style_axes(&mut chart, nines_max.ceil() as usize + 1, &|nines| percentile_label(*nines), &|us| {
            time_label(*us)
        })?;
        for (points, colour) in &curves {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Events per second over the time of a run, or nothing if the run was too short for a curve.
pub fn throughput(samples: &[Sample]) -> Option<String> {
    if samples.len() < SAMPLES_MIN {
        return None;
    }
    let high = samples.iter().fold(1.0, |high: f64, sample| high.max(sample.events_per_sec)) * 1.1;
    let end = samples[samples.len() - 1].at;
    let svg = both_sizes("Throughput over time", |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_top(MARGIN_TOP)
            .margin_right(MARGIN_RIGHT)
            .x_label_area_size(28)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..end, 0.0..high)?;
        style_axes(&mut chart, 7, &|at| seconds_label(*at, end), &|rate| rate_label(*rate, high))?;
        let points = samples.iter().map(|sample| (sample.at, sample.events_per_sec));
        chart.draw_series(LineSeries::new(points, ENGINE.stroke_width(2)))?;
        Ok(())
    });
    Some(svg)
}

/// Points (nines, µs) of a percentile curve; "nines" is `-log10(1 - quantile)`: 1 is 90 %, 2 is 99 %.
fn percentile_points(latencies: &Latencies, nines_max: f64) -> Vec<(f64, f64)> {
    const STEPS: u32 = 250;
    (0..=STEPS)
        .map(|step| {
            let nines = nines_max * f64::from(step) / f64::from(STEPS);
            let ns = latencies.at(1.0 - 10f64.powf(-nines));
            // A logarithmic axis has no zero; nothing below 0.1 µs is told apart.
            (nines, (ns as f64 / 1000.0).max(0.1))
        })
        .collect()
}

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws the same chart for wide and for narrow screens.
fn both_sizes(label: &str, draw: impl Fn(&Drawing<'_>) -> Drawn) -> String {
    let mut html = String::new();
    for (class, size) in SIZES {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?)).expect("drawing into a string cannot fail");
        drop(area);
        let tag = format!("<svg class=\"{class}\" role=\"img\" aria-label=\"{label}\" ");
        html.push_str(&svg.replacen("<svg ", &tag, 1));
    }
    html
}

/// The axes and grid that all charts share.
fn style_axes<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    x_labels: usize,
    x_label: &dyn Fn(&f64) -> String,
    y_label: &dyn Fn(&f64) -> String,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let text = ("sans-serif", 16).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_labels(x_labels)
        .y_labels(6)
        .x_label_formatter(x_label)
        .y_label_formatter(y_label)
        .label_style(text)
        .axis_style(GRID)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    Ok(())
}

/// `3` is "99.9%".
fn percentile_label(nines: f64) -> String {
    let nines = nines.round() as usize;
    match nines {
        0 => "0%".to_owned(),
        1 => "90%".to_owned(),
        2 => "99%".to_owned(),
        _ => format!("99.{}%", "9".repeat(nines - 2)),
    }
}

fn time_label(us: f64) -> String {
    match us {
        us if us >= 999_999.0 => format!("{:.0} s", us / 1e6),
        us if us >= 999.0 => format!("{:.0} ms", us / 1e3),
        us if us >= 0.99 => format!("{us:.0} µs"),
        us => format!("{:.0} ns", us * 1e3),
    }
}

/// A rate in the unit that suits the highest one on the axis, with decimals where the steps need them.
fn rate_label(rate: f64, high: f64) -> String {
    let (unit, name) = match high {
        high if high >= 1e6 => (1e6, " M/s"),
        high if high >= 1e3 => (1e3, " k/s"),
        _ => (1.0, "/s"),
    };
    let decimals = usize::from(high < 10.0 * unit);
    format!("{:.decimals$}{name}", rate / unit)
}

fn seconds_label(at: f64, end: f64) -> String {
    let decimals = if end < 1.0 {
        2
    } else if end < 10.0 {
        1
    } else {
        0
    };
    format!("{at:.decimals$} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::example;

    #[test]
    fn the_percentile_chart_has_both_curves_and_readable_axes() {
        let svg = percentiles(&example(true).open_loop.unwrap());
        for part in ["#0000A1", "#0000A2", "99.99%", "1 ms", "class=\"wide\"", "class=\"narrow\""] {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
        assert_eq!(svg.matches("<svg ").count(), 2);
    }

    #[test]
    fn a_curve_rises_with_the_percentile() {
        let run = example(true).open_loop.unwrap();
        let points = percentile_points(&run.latencies, 4.0);
        assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1 && pair[0].0 < pair[1].0));
    }

    #[test]
    fn no_throughput_chart_without_enough_samples() {
        assert!(throughput(&example(false).throughput[..2]).is_none());
        assert!(throughput(&example(false).throughput).unwrap().contains("M/s"));
    }

    #[test]
    fn labels_of_an_axis_differ() {
        let rates: Vec<String> = [0.0, 5e5, 1e6, 1.5e6].iter().map(|&rate| rate_label(rate, 2e6)).collect();
        assert_eq!(rates, ["0.0 M/s", "0.5 M/s", "1.0 M/s", "1.5 M/s"]);
        assert_eq!((rate_label(4e7, 5e7), rate_label(8e4, 9e4)), ("40 M/s".into(), "80 k/s".into()));
        assert_eq!((seconds_label(0.05, 0.2), seconds_label(40.0, 45.0)), ("0.05 s".into(), "40 s".into()));
    }

    #[test]
    fn empty_histograms_still_draw() {
        let mut run = example(true).open_loop.unwrap();
        (run.latencies, run.floor) = Default::default();
        assert!(percentiles(&run).contains("<svg "));
    }

    /// Every label, with its place: (text, x, y, where x is in it).
    fn labels(svg: &str) -> Vec<(String, f64, f64, String)> {
        let attribute = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\"")).expect(name);
            rest.split_once('"').expect("a quoted value").0.to_owned()
        };
        let texts = svg.split("<text").skip(1).map(|part| {
            let (tag, rest) = part.split_once('>').expect("a tag ends");
            let text = rest.split_once('<').expect("a text ends").0.trim().to_owned();
            let number = |name| attribute(tag, name).parse().expect("a number");
            (text, number("x"), number("y"), attribute(tag, "text-anchor"))
        });
        texts.collect()
    }

    #[test]
    fn no_label_is_cut_off_at_an_edge() {
        /// About as wide and as high as a letter of the widest of the fonts that may be had.
        const LETTER: (f64, f64) = (9.0, 16.0);
        let mut run = example(true).open_loop.unwrap();
        (0..200_000).for_each(|ns| run.latencies.record(1_000 + ns));
        let samples: Vec<_> =
            (1..20).map(|n| Sample { at: f64::from(n) * 7.5, events_per_sec: 66_123_456.0 }).collect();
        let charts = percentiles(&run) + &throughput(&samples).unwrap();
        assert!(charts.contains("99.999%"), "the widest label is in it");
        let mut seen = 0;
        for svg in charts.split("<svg ").skip(1) {
            let size = SIZES.iter().find(|(class, _)| svg.contains(&format!("class=\"{class}\""))).unwrap().1;
            for (text, x, y, anchor) in labels(svg) {
                let width = text.chars().count() as f64 * LETTER.0;
                let left = match anchor.as_str() {
                    "middle" => x - width / 2.0,
                    "end" => x - width,
                    _ => x,
                };
                assert!(left >= 0.0 && left + width <= f64::from(size.0), "{text} at {x} of {}", size.0);
                assert!(y >= LETTER.1 / 2.0 && y <= f64::from(size.1), "{text} at height {y} of {}", size.1);
                seen += 1;
            }
        }
        assert_eq!(seen, 38, "labels of both charts in both sizes");
    }
}
