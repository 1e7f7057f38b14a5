use super::*;

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn lab(workers: usize) -> ResourceGraph {
    let group = address("resource-group/dc1/lab-dc1");
    let cluster = address("managed-cluster/cluster/lab");
    let mut graph = ResourceGraph {
        nodes: vec![(group.clone(), Some(Action::Create)), (cluster.clone(), None)],
        edges: Vec::new(),
    };
    for number in 1..=workers {
        let machine = address(&format!("virtual-machine/dc1/worker-{number:03}"));
        let worker = address(&format!("worker/dc1/worker-{number:03}"));
        graph.nodes.push((machine.clone(), Some(Action::Replace)));
        graph.nodes.push((worker.clone(), Some(Action::Update)));
        graph.edges.push((group.clone(), machine.clone()));
        graph.edges.push((machine, worker.clone()));
        graph.edges.push((cluster.clone(), worker));
    }
    graph
}

/// Whether every element that is opened is closed, in order.
fn is_well_formed(text: &str) -> bool {
    let mut open = Vec::new();
    for part in text.split('<').skip(1) {
        let Some((tag, _)) = part.split_once('>') else { return false };
        let name = tag.split([' ', '/', '\n']).find(|word| !word.is_empty()).unwrap_or_default();
        match tag {
            tag if tag.starts_with(['?', '!']) || tag.ends_with('/') => {}
            tag if tag.starts_with('/') => match open.pop() {
                Some(opened) if opened == name => {}
                _ => return false,
            },
            _ => open.push(name),
        }
    }
    open.is_empty()
}

#[test]
fn dot() {
    insta::assert_snapshot!(lab(2).to_dot());
}

#[test]
fn mermaid() {
    insta::assert_snapshot!(lab(2).to_mermaid());
}

#[test]
fn many_workers_are_one_node() {
    let graph = lab(100);
    insta::assert_snapshot!(graph.to_mermaid());
    assert_eq!(Drawing::of(&graph).nodes.len(), 2 + 2 * (MAX_NODES_PER_KIND + 1));
}

#[test]
fn the_svg_has_every_label() {
    for graph in [lab(2), lab(100)] {
        let svg = graph.to_svg();
        assert!(is_well_formed(&svg), "{svg}");
        for node in Drawing::of(&graph).nodes {
            let name = node.label.rsplit(['/', ':']).next().unwrap_or_default().trim();
            assert!(svg.contains(name), "{name}");
        }
    }
    assert!(is_well_formed(&ResourceGraph::default().to_svg()));
}

#[test]
fn names_cannot_break_out() {
    let odd = Address::new(Kind::Namespace, Site::from("a\"b"), "x\"]; <b>&\\ y");
    let graph = ResourceGraph { nodes: vec![(odd, None)], edges: Vec::new() };
    insta::assert_snapshot!(graph.to_mermaid() + &graph.to_dot());
    assert!(is_well_formed(&graph.to_svg()));
}
