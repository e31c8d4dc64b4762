//! Diagrams as SVG, readable on light and on dark pages.

use std::fmt::Write as _;

use super::{Plot, figure};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Space around the area of the lines: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (78.0, 170.0, 46.0, 54.0);
const COLOURS: [&str; 8] = [
    "#0b6e4f", "#8a8a8a", "#c77700", "#1f77b4", "#b5179e", "#7a5195", "#d62728", "#17becf",
];

/// One axis: its range of values, and their positions.
struct Axis {
    least: f64,
    most: f64,
    logarithmic: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, logarithmic: bool, from: f64, to: f64) -> Self {
        let values = values.filter(move |value| !logarithmic || *value > 0.0);
        let most = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.fold(most, f64::min);
        let (least, most) = if logarithmic {
            (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()))
        } else {
            (0.0, most * 1.05)
        };
        let most = if most > least { most } else { least + 1.0 };
        Self {
            least,
            most,
            logarithmic,
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.least) / self.least).log10() / (self.most / self.least).log10()
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.from + share * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.most / self.least).log10().round() as i32;
            return (0..=decades).map(|decade| self.least * 10_f64.powi(decade)).collect();
        }
        let rough = (self.most - self.least) / 5.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * magnitude)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        (0..)
            .map(|index| self.least + f64::from(index) * step)
            .take_while(|tick| *tick <= self.most)
            .collect()
    }
}

/// The diagram as a file.
pub(super) fn svg(plot: &Plot) -> String {
    let (left, right, top, bottom) = MARGIN;
    let points = || plot.series.iter().flat_map(|series| series.points.iter().copied());
    let x = Axis::over(points().map(|point| point.0), plot.logarithmic.0, left, WIDTH - right);
    let y = Axis::over(points().map(|point| point.1), plot.logarithmic.1, HEIGHT - bottom, top);
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">"
    ));
    line("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>".to_owned());
    line(text(
        WIDTH / 2.0 - 50.0,
        24.0,
        "middle",
        &plot.title,
        " font-size=\"15\"",
    ));
    for tick in x.ticks() {
        let at = x.at(tick);
        line(stroke((at, y.from), (at, y.to), "#e4e4e4"));
        line(text(at, y.from + 18.0, "middle", &short(tick), ""));
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        line(stroke((x.from, at), (x.to, at), "#e4e4e4"));
        line(text(x.from - 8.0, at + 4.0, "end", &short(tick), ""));
    }
    line(stroke((x.from, y.from), (x.to, y.from), "#555555"));
    line(stroke((x.from, y.from), (x.from, y.to), "#555555"));
    line(text(f64::midpoint(x.from, x.to), HEIGHT - 14.0, "middle", &plot.x, ""));
    let middle = f64::midpoint(y.from, y.to);
    let turned = format!(" transform=\"rotate(-90 18 {middle:.1})\"");
    line(text(18.0, middle, "middle", &plot.y, &turned));
    for (index, series) in plot.series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let mut path = String::new();
        for (px, py) in &series.points {
            write!(path, "{:.1},{:.1} ", x.at(*px), y.at(*py)).expect("a String takes all");
            line(format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                x.at(*px),
                y.at(*py)
            ));
        }
        let path = path.trim_end();
        line(format!(
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ));
        let at = top + 14.0 + 20.0 * index as f64;
        line(format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>",
            x.to + 16.0,
            at - 10.0
        ));
        line(text(x.to + 34.0, at, "start", &series.name, ""));
    }
    out.push_str("</svg>\n");
    out
}

fn text(x: f64, y: f64, anchor: &str, content: &str, more: &str) -> String {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\"{more}>{content}</text>")
}

fn stroke((x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) -> String {
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>")
}

/// A tick's label.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", figure(value / 1e6).trim_end_matches(".00")),
        value if value >= 1000.0 => format!("{} k", (value / 100.0).round() / 10.0),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value => figure(value),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Series, *};

    #[test]
    fn every_point_lies_within_the_diagram() {
        let plot = Plot {
            file: "x.svg".to_owned(),
            title: "a < b".to_owned(),
            x: "x".to_owned(),
            y: "y".to_owned(),
            logarithmic: (true, false),
            series: vec![Series {
                name: "s".to_owned(),
                points: vec![(100.0, 0.0), (100_000.0, 12.0)],
            }],
        };
        let drawn = svg(&plot);
        assert!(drawn.contains("a &lt; b"));
        let values = |name: &str| -> Vec<f64> {
            drawn
                .split(&format!("{name}=\""))
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
                .collect()
        };
        assert_eq!(values("cx").len(), 2);
        assert!(values("cx").iter().all(|x| (0.0..=WIDTH).contains(x)));
        assert!(values("cy").iter().all(|y| (0.0..=HEIGHT).contains(y)));
    }
}
