//! Which nodes are needed, in an order in which every operand is ready.

use std::collections::HashMap;

use super::proto::GraphProto;
use crate::Error;
use crate::error::printable;

/// Positions of the nodes that an output depends on, sorted so that definitions precede uses; otherwise in the order
/// of the file. `given` says which names are inputs or initializers.
pub fn needed(graph: &GraphProto, given: impl Fn(&str) -> bool) -> Result<Vec<usize>, Error> {
    let mut maker: HashMap<&str, usize> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        for out in node.output.iter().filter(|o| !o.is_empty()) {
            if given(out) || maker.insert(out, i).is_some() {
                return Err(Error::invalid(
                    format!("value {}", printable(out)),
                    "it is defined twice",
                    "give every value one definition, as the standard asks",
                ));
            }
        }
    }
    let mut order = Vec::new();
    let mut state = vec![State::New; graph.node.len()];
    // Visiting in the order of the file keeps that order wherever it is sorted already.
    let live = live(graph, &maker);
    for start in (0..graph.node.len()).filter(|i| live[*i]) {
        visit(graph, &maker, &given, start, &mut state, &mut order)?;
    }
    Ok(order)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

/// Which nodes an output depends on.
fn live(graph: &GraphProto, maker: &HashMap<&str, usize>) -> Vec<bool> {
    let mut live = vec![false; graph.node.len()];
    let mut todo: Vec<&str> = graph.output.iter().map(|o| o.name()).collect();
    while let Some(name) = todo.pop() {
        let Some(&i) = maker.get(name) else { continue };
        if !std::mem::replace(&mut live[i], true) {
            todo.extend(operands(graph, i));
        }
    }
    live
}

/// Names that node `i` reads: its operands and what its subgraphs capture.
pub fn operands(graph: &GraphProto, i: usize) -> Vec<&str> {
    let mut names = Vec::new();
    let mut todo = vec![&graph.node[i]];
    while let Some(node) = todo.pop() {
        names.extend(node.input.iter().map(String::as_str).filter(|s| !s.is_empty()));
        for body in node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs)) {
            names.extend(body.output.iter().map(|o| o.name()));
            todo.extend(&body.node);
        }
    }
    names
}

/// Appends `start` after everything it depends on; without recursion, since chains are as long as the file allows.
fn visit<'m>(
    graph: &'m GraphProto,
    maker: &HashMap<&str, usize>,
    given: &impl Fn(&str) -> bool,
    start: usize,
    state: &mut [State],
    order: &mut Vec<usize>,
) -> Result<(), Error> {
    if state[start] != State::New {
        return Ok(());
    }
    state[start] = State::Open;
    let mut stack: Vec<(usize, Vec<&'m str>)> = vec![(start, reversed(operands(graph, start)))];
    while let Some((node, names)) = stack.last_mut() {
        let node = *node;
        let Some(name) = names.pop() else {
            state[node] = State::Done;
            order.push(node);
            stack.pop();
            continue;
        };
        match maker.get(name) {
            Some(&m) if state[m] == State::New => {
                state[m] = State::Open;
                stack.push((m, reversed(operands(graph, m))));
            }
            // A value inside its own subgraph is no cycle, a node that waits for another open one is.
            Some(&m) if state[m] == State::Open && graph.node[node].input.iter().any(|i| i == name) => {
                return Err(Error::invalid(
                    format!("value {}", printable(name)),
                    "it depends on itself",
                    "remove the cycle; ONNX graphs have none",
                ));
            }
            Some(_) => {}
            None if given(name) || !graph.node[node].input.iter().any(|i| i == name) => {}
            None => {
                let user = &graph.node[node];
                return Err(Error::invalid(
                    format!("value {}", printable(name)),
                    format!(
                        "node {} (`{}`) uses it, but nothing defines it",
                        printable(user.name()),
                        user.op_type().escape_default()
                    ),
                    "export the model again; a node, an input or an initializer is missing",
                ));
            }
        }
    }
    Ok(())
}

fn reversed(mut v: Vec<&str>) -> Vec<&str> {
    v.reverse();
    v
}

#[cfg(test)]
mod tests {
    use super::super::proto::{NodeProto, ValueInfoProto};
    use super::*;

    fn graph(nodes: &[(&str, &str)], outs: &[&str]) -> GraphProto {
        let names = |s: &str| s.split_whitespace().map(str::to_owned).collect();
        let node =
            |(i, o): &(&str, &str)| NodeProto { input: names(i), output: names(o), ..NodeProto::default() };
        let info = |s: &&str| ValueInfoProto { name: Some((*s).into()), ..ValueInfoProto::default() };
        GraphProto {
            node: nodes.iter().map(node).collect(),
            output: outs.iter().map(info).collect(),
            ..GraphProto::default()
        }
    }

    #[test]
    fn order_of_the_file_is_kept_and_dead_nodes_are_left_out() {
        let g = graph(&[("x", "a"), ("x", "dead"), ("a", "b"), ("a b", "y")], &["y"]);
        assert_eq!(needed(&g, |n| n == "x").unwrap(), [0, 2, 3]);
    }

    #[test]
    fn unsorted_files_are_sorted() {
        let g = graph(&[("b", "y"), ("a", "b"), ("x", "a")], &["y"]);
        assert_eq!(needed(&g, |n| n == "x").unwrap(), [2, 1, 0]);
    }

    #[test]
    fn cycles_doubles_and_gaps_are_named() {
        let text = |g: GraphProto| needed(&g, |n| n == "x").unwrap_err().to_string();
        assert!(text(graph(&[("b", "a"), ("a", "b")], &["a"])).contains("depends on itself"));
        assert!(text(graph(&[("x", "a"), ("x", "a")], &["a"])).contains("value `a`: it is defined twice"));
        assert!(text(graph(&[("z", "a")], &["a"])).contains("value `z`"));
    }

    #[test]
    fn long_chains_need_no_stack() {
        let names: Vec<String> = (0..200_001).map(|i| format!("v{i}")).collect();
        let node = |i: usize| NodeProto {
            input: vec![names[i].clone()],
            output: vec![names[i + 1].clone()],
            ..NodeProto::default()
        };
        let mut g = graph(&[], &["v200000"]);
        g.node = (0..200_000).rev().map(node).collect();
        let run = move || needed(&g, |n| n == "v0").unwrap().len();
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap();
        assert_eq!(thread.join().unwrap(), 200_000);
    }
}
