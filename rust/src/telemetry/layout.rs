//! The layouts of lines: which names stand in which order, in objects inside objects too. Known ones are a tree, walked name by name.

use std::collections::{HashMap, HashSet};

use super::scan::{Cursor, DEPTH, Span};

/// Names on one line.
const NAMES: usize = 512;
/// Nodes of the tree: layouts that make more are not taken.
const NODES: usize = 100_000;

#[derive(PartialEq, Eq, Clone)]
enum Label {
    /// A name in its quotes, and whether an object follows.
    Name(Vec<u8>, bool),
    Close,
}

struct Node {
    label: Label,
    next: Vec<usize>,
    layout: Option<usize>,
}

#[derive(Default)]
pub struct Layouts {
    nodes: Vec<Node>,
    first: Vec<usize>,
    /// By layout: the paths of its values, and their numbers.
    pub places: Vec<HashMap<Vec<String>, usize>>,
}

impl Layouts {
    /// The layout of a line, and where its values stand; `None` where it is not a known one.
    #[inline]
    pub fn walk(&self, cursor: &mut Cursor<'_>, spans: &mut Vec<Span>) -> Option<usize> {
        spans.clear();
        cursor.expect(b'{')?;
        let (mut next, mut depth, mut fresh) = (&self.first, 1, true);
        loop {
            let byte = cursor.peek()?;
            let node = if byte == b'}' {
                cursor.at += 1;
                depth -= 1;
                fresh = false;
                self.child(next, |label| *label == Label::Close)?
            } else {
                if !fresh {
                    (byte == b',').then(|| cursor.at += 1)?;
                    cursor.peek()?;
                }
                let node = self.named(next, cursor)?;
                fresh = matches!(node.label, Label::Name(_, true));
                if fresh {
                    cursor.at += 1;
                    depth += 1;
                } else {
                    spans.push(cursor.value(depth)?);
                }
                node
            };
            if depth == 0 {
                return (cursor.at == cursor.line.len()).then_some(node.layout?);
            }
            next = &node.next;
        }
    }

    #[inline]
    fn child(&self, next: &[usize], wanted: impl Fn(&Label) -> bool) -> Option<&Node> {
        next.iter().filter_map(|at| self.nodes.get(*at)).find(|node| wanted(&node.label))
    }

    /// Pass a name and its colon; the value stands next.
    #[inline]
    fn named(&self, next: &[usize], cursor: &mut Cursor<'_>) -> Option<&Node> {
        let start = cursor.at;
        for at in next {
            let Some(node) = self.nodes.get(*at) else { continue };
            let Label::Name(name, object) = &node.label else { continue };
            if cursor.rest().starts_with(name) {
                cursor.at += name.len();
                cursor.expect(b':')?;
                if (cursor.peek()? == b'{') == *object {
                    return Some(node);
                }
                cursor.at = start;
            }
        }
        None
    }

    /// The layout of a line, known from now on. `None` where a name stands twice, is written with escapes, or there are too many.
    pub fn learn(&mut self, line: &[u8]) -> Option<usize> {
        let mut cursor = Cursor::new(line)?;
        let (mut labels, mut places, mut path) = (Vec::new(), HashMap::new(), Vec::new());
        cursor.expect(b'{')?;
        read(&mut cursor, &mut labels, &mut places, &mut path, &mut 0)?;
        if cursor.at != line.len() || labels.len() > NAMES || self.nodes.len() + labels.len() > NODES {
            return None;
        }
        let mut last = None;
        for label in labels {
            let next = last.map_or(&self.first, |at: usize| self.nodes.get(at).map_or(&self.first, |node| &node.next));
            let known = next.iter().copied().find(|at| self.nodes.get(*at).is_some_and(|node| node.label == label));
            let at = known.unwrap_or_else(|| self.grow(last, label));
            last = Some(at);
        }
        let node = self.nodes.get_mut(last?)?;
        if node.layout.is_none() {
            node.layout = Some(self.places.len());
            self.places.push(places);
        }
        node.layout
    }

    fn grow(&mut self, after: Option<usize>, label: Label) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node { label, next: Vec::new(), layout: None });
        match after.and_then(|after| self.nodes.get_mut(after)) {
            Some(node) => node.next.push(at),
            None => self.first.push(at),
        }
        at
    }
}

/// The names of an object whose brace is passed, and of those in it.
fn read(
    cursor: &mut Cursor<'_>,
    labels: &mut Vec<Label>,
    places: &mut HashMap<Vec<String>, usize>,
    path: &mut Vec<String>,
    values: &mut usize,
) -> Option<()> {
    let mut seen = HashSet::new();
    let mut fresh = true;
    loop {
        let byte = cursor.peek()?;
        if byte == b'}' {
            cursor.at += 1;
            labels.push(Label::Close);
            return Some(());
        }
        if !fresh {
            (byte == b',').then(|| cursor.at += 1)?;
        }
        fresh = false;
        if cursor.peek()? != b'"' {
            return None;
        }
        let start = cursor.at;
        cursor.string()?;
        let quoted = cursor.line.get(start..cursor.at)?;
        let name = std::str::from_utf8(quoted.get(1..quoted.len() - 1)?).ok()?;
        if name.contains('\\') || !seen.insert(name.to_owned()) {
            return None;
        }
        cursor.expect(b':')?;
        let object = cursor.peek()? == b'{';
        labels.push(Label::Name(quoted.to_vec(), object));
        path.push(name.to_owned());
        if object {
            cursor.at += 1;
            (path.len() < DEPTH).then_some(())?;
            read(cursor, labels, places, path, values)?;
        } else {
            cursor.value(path.len())?;
            places.insert(path.clone(), *values);
            *values += 1;
        }
        path.pop();
    }
}
