//! What comes before what, and a cycle in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Edge;

/// A transaction, or the moment of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Transaction(usize),
    /// The answers in their order. All that was answered by then is before it,
    /// and all that begins later after it.
    Answer(usize),
}

/// What comes before what.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    edges: BTreeMap<Node, BTreeMap<Node, Edge>>,
}

impl Graph {
    /// One transaction is before another.
    pub(super) fn add(&mut self, before: usize, after: usize, edge: Edge) {
        if before != after {
            self.link(Node::Transaction(before), Node::Transaction(after), edge);
        }
    }

    /// A transaction has the next answer.
    pub(super) fn add_answer(&mut self, transaction: usize, answer: usize) {
        let answered = Node::Answer(answer);
        self.link(Node::Transaction(transaction), answered, Edge::RealTime);
        if let Some(before) = answer.checked_sub(1) {
            self.link(Node::Answer(before), answered, Edge::RealTime);
        }
    }

    /// A transaction begins after so many answers.
    pub(super) fn add_begin(&mut self, answers: usize, transaction: usize) {
        if let Some(last) = answers.checked_sub(1) {
            let begins = Node::Transaction(transaction);
            self.link(Node::Answer(last), begins, Edge::RealTime);
        }
    }

    fn link(&mut self, before: Node, after: Node, edge: Edge) {
        let edges = self.edges.entry(before).or_default();
        // The first reason is the one that says most.
        edges.entry(after).or_insert(edge);
    }

    /// A shortest cycle through some transaction, if there is a cycle.
    pub(super) fn cycle(&self) -> Option<Vec<(usize, Edge)>> {
        let knot = self.knot();
        let starts = knot
            .iter()
            .filter(|node| matches!(node, Node::Transaction(_)));
        let cycles = starts.filter_map(|start| self.cycle_from(*start, &knot));
        cycles.min_by_key(Vec::len)
    }

    /// The nodes that are left when those before which nothing comes are taken
    /// away, again and again.
    fn knot(&self) -> BTreeSet<Node> {
        let mut before: BTreeMap<Node, usize> = BTreeMap::new();
        for (node, edges) in &self.edges {
            before.entry(*node).or_default();
            for after in edges.keys() {
                *before.entry(*after).or_default() += 1;
            }
        }
        let first = before.iter().filter(|(_, count)| **count == 0);
        let mut free: Vec<Node> = first.map(|(node, _)| *node).collect();
        while let Some(node) = free.pop() {
            before.remove(&node);
            for after in self.edges.get(&node).into_iter().flat_map(BTreeMap::keys) {
                if let Some(count) = before.get_mut(after) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        free.push(*after);
                    }
                }
            }
        }
        before.into_keys().collect()
    }

    fn cycle_from(&self, start: Node, within: &BTreeSet<Node>) -> Option<Vec<(usize, Edge)>> {
        let mut came: BTreeMap<Node, (Node, Edge)> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for (after, edge) in self.edges.get(&node).into_iter().flatten() {
                if !within.contains(after) || came.contains_key(after) {
                    continue;
                }
                came.insert(*after, (node, *edge));
                if *after == start {
                    return Some(path(start, &came));
                }
                queue.push_back(*after);
            }
        }
        None
    }
}

/// The way back to the start, without the answers.
fn path(start: Node, came: &BTreeMap<Node, (Node, Edge)>) -> Vec<(usize, Edge)> {
    let mut steps = Vec::new();
    let mut at = start;
    while let Some((before, edge)) = came.get(&at) {
        if let Node::Transaction(transaction) = before {
            steps.push((*transaction, *edge));
        }
        at = *before;
        if at == start {
            break;
        }
    }
    steps.reverse();
    steps
}
