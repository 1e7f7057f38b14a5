//! `stargate graph`.

use super::location::TestFolder;

#[test]
fn a_graph_has_three_formats() {
    let location = TestFolder::new();
    for (format, start) in [("dot", "digraph "), ("mermaid", "flowchart "), ("svg", "<svg ")] {
        let ran = location.run(&format!("graph --sandbox --format {format}")).exits(0);
        assert!(ran.out.starts_with(start) && ran.err.is_empty(), "{format}: {}", ran.out);
        assert!(ran.out.contains("stargate-workers-rt"), "{format}");
    }
}

#[test]
fn an_svg_has_a_readable_size() {
    let location = TestFolder::new();
    let svg = location.run("graph --sandbox --format svg").exits(0).out;
    let size = |name: &str| -> u32 {
        let value =
            svg.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.and_then(|value| value.parse().ok()).expect("a number")
    };
    assert!(
        size("width") < 5_000 && size("height") < 2_000,
        "{} {}",
        size("width"),
        size("height")
    );
}
