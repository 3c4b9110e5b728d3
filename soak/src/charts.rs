//! Charts as SVG. Colours are placeholders that the page's style sheet replaces, so that they follow light and dark.

use plotters::prelude::*;

use crate::Failure;

/// Wide enough for six labels, narrow enough to be read on a telephone.
const SIZE: (u32, u32) = (480, 220);

/// `.chart [stroke="#010101"]` and so on in the style sheet.
const COLOURS: [RGBColor; 3] = [RGBColor(1, 1, 1), RGBColor(2, 2, 2), RGBColor(3, 3, 3)];
const GRID: RGBColor = RGBColor(8, 8, 8);
const EVENT: RGBColor = RGBColor(9, 9, 9);

/// A line of a chart: its points by second.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Where a point is more seconds than this from the last one, the line is broken; 0: never.
    pub(crate) gap: f64,
}

/// Draws lines over the run's seconds, with a mark for each event.
pub(crate) fn draw(series: &[Series], events: &[u64], seconds: u64) -> Result<String, Failure> {
    let all = || series.iter().flat_map(|series| &series.points);
    // In minutes, so that labels fall on round ones.
    let minutes = |second: f64| second / 60.0;
    let last = minutes(f64::from(u32::try_from(seconds)?));
    let top = all().map(|point| point.1).fold(1.0, f64::max) * 1.08;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .margin_right(14)
            .x_label_area_size(24)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..last, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(("sans-serif", 13))
            .x_labels(6)
            .y_labels(5)
            .x_label_formatter(&|minutes| clock(*minutes))
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        for second in events {
            let at = minutes(f64::from(u32::try_from(*second)?));
            chart.draw_series([PathElement::new(vec![(at, 0.0), (at, top)], EVENT)])?;
        }
        for (series, colour) in series.iter().zip(COLOURS) {
            for part in series.points.chunk_by(|a, b| series.gap == 0.0 || b.0 - a.0 <= series.gap) {
                chart.draw_series(LineSeries::new(
                    part.iter().map(|point| (minutes(point.0), point.1)),
                    colour.stroke_width(2),
                ))?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

/// Minutes, as minutes and seconds.
fn clock(minutes: f64) -> String {
    let seconds = (minutes * 60.0).round().max(0.0);
    format!("{:.0}:{:02.0}", (seconds / 60.0).floor(), seconds % 60.0)
}

/// A number in at most four signs or so.
fn short(value: f64) -> String {
    match value {
        _ if value >= 10_000.0 => format!("{:.0}k", value / 1_000.0),
        _ if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_lines_and_only_colours_that_the_page_replaces() {
        let points = (0..100).map(|n| (f64::from(n), f64::from(n % 10))).collect();
        let series = [Series { name: "x".into(), points, gap: 5.0 }];
        let svg = draw(&series, &[50], 99).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains("polyline") && svg.contains("#090909"), "{svg}");
        assert!(svg.contains("1:00"), "{svg}");
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([short(0.0), short(2.5), short(40.0), short(25_000.0)], ["0", "2.5", "40", "25k"]);
        assert_eq!(clock(2.5), "2:30");
    }
}
